//! A registry in this process, and a client that says exactly what it is told.

use std::path::Path;

use registry::digest::{Algorithm, Digest};
use registry::{Config, Server};
use reqwest::{Method, RequestBuilder, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub struct Serving {
    pub host: String,
    pub http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
    pub root: tempfile::TempDir,
}

/// A client without TLS, so that no provider of it is needed.
pub fn http() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

impl Serving {
    pub async fn start() -> Serving {
        Serving::with("[storage]\ndelete = true\n").await
    }

    pub async fn with(config: &str) -> Serving {
        Serving::in_directory(tempfile::tempdir().unwrap(), config).await
    }

    pub async fn in_directory(root: tempfile::TempDir, config: &str) -> Serving {
        let mut config = Config::parse(config, Path::new("test.toml")).unwrap();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        config.storage.root = root.path().join("data");
        let server = Server::bind(config).await.unwrap();
        let host = server.address().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Serving { host, http: http(), stop: Some(stop), task: Some(task), root }
    }

    /// Shuts down as a signal would, and gives back the directory.
    pub async fn stop(mut self) -> tempfile::TempDir {
        drop(self.http);
        let _ = self.stop.take().unwrap().send(());
        self.task.take().unwrap().await.unwrap();
        self.root
    }

    pub fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.host) }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    pub async fn send(&self, method: &str, path: &str) -> Response {
        self.request(method, path).send().await.unwrap()
    }

    pub async fn send_body(&self, method: &str, path: &str, body: &[u8]) -> Response {
        self.request(method, path).body(body.to_vec()).send().await.unwrap()
    }

    /// Pushes a blob in one request.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        assert_eq!(self.send_body("POST", &path, bytes).await.status(), 201);
        digest
    }

    /// Starts an upload and returns its address.
    pub async fn start_upload(&self, repository: &str) -> String {
        let response = self.send("POST", &format!("/v2/{repository}/blobs/uploads/")).await;
        assert_eq!(response.status(), 202);
        assert_eq!(header(&response, "range"), "0-0");
        header(&response, "location")
    }

    pub async fn put_manifest(&self, repository: &str, target: &str, media_type: &str, body: &str) -> Response {
        let request = self.request("PUT", &format!("/v2/{repository}/manifests/{target}"));
        request.header("content-type", media_type).body(body.to_owned()).send().await.unwrap()
    }

    /// Pushes an image without layers under a tag; returns its bytes and digest.
    pub async fn push_image(&self, repository: &str, tag: &str) -> (String, Digest) {
        let config = self.push_blob(repository, format!("{{\"config of\":\"{tag}\"}}").as_bytes()).await;
        let manifest = image(&config, 13 + 2 + tag.len() + 1, "");
        let response = self.put_manifest(repository, tag, OCI_MANIFEST, &manifest).await;
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        let digest = Digest::of(Algorithm::Sha256, manifest.as_bytes());
        (manifest, digest)
    }
}

/// An image manifest with a configuration of `size` bytes, and more members.
pub fn image(config: &Digest, size: usize, more: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{size}}},"layers":[]{more}}}"#
    )
}

pub fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// The code of the first error in the specification's JSON.
pub async fn code(response: Response) -> String {
    let json: serde_json::Value = response.json().await.unwrap();
    json["errors"][0]["code"].as_str().unwrap().to_owned()
}
