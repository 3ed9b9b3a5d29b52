//! `docker-daemon:`: Docker's own storage, through the daemon's HTTP API (`images/NAME/get` and `images/load`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use image::Digest;
use reqwest::{Body, Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::byte_stream::{ByteStream, unwrapped, wrapped};
use crate::error::{Error, chain};
use crate::reference::Reference;
use crate::settings::{DockerHost, Settings};
use crate::tls::{self, Certificates, Trust};
use crate::transport::export::Export;
use crate::transport::tar_sink::{Flavour, TarSink};

/// How long to wait for a daemon to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read; the one to `images/load` has a line for each step.
const ANSWER_LIMIT: usize = 4 << 20;

/// The daemon, as it is reached.
struct Daemon {
    http: Client,
    base: Url,
    address: String,
}

/// What the daemon has under `name`.
pub(crate) fn export(settings: &Settings, name: &str) -> Result<Export, Error> {
    let daemon = Arc::new(Daemon::of(&settings.docker)?);
    let (image, place) = (name.to_owned(), format!("docker-daemon:{name}"));
    let (asked, named) = (Arc::clone(&daemon), image.clone());
    let id = move || -> BoxFuture<'static, Result<Digest, Error>> {
        let (daemon, image) = (Arc::clone(&asked), named.clone());
        Box::pin(async move { daemon.id(&image).await })
    };
    let open = move || -> ByteStream {
        let (daemon, image) = (Arc::clone(&daemon), image.clone());
        let start = async move { daemon.save(&image).await.map_err(wrapped) };
        let pieces = |response: Response| response.bytes_stream().map_err(|error| io::Error::other(chain(&error)));
        stream::once(start).map_ok(pieces).try_flatten().boxed()
    };
    Ok(Export::new(place, open, id))
}

/// Gives the daemon an image under `name`.
pub(crate) fn sink(settings: &Settings, name: &str) -> Result<TarSink, Error> {
    let daemon = Daemon::of(&settings.docker)?;
    let name = tagged(name)?;
    let consume = move |bytes: ByteStream| -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { daemon.load(bytes).await })
    };
    Ok(TarSink::new(Flavour::Docker, Some(name), false, consume))
}

/// The whole name with its tag, as every engine understands it.
pub(crate) fn tagged(name: &str) -> Result<String, Error> {
    let reference: Reference = name.parse()?;
    if reference.digest().is_some() {
        let (what, reason) = (format!("the name `{name}`"), "an image is given a tag, not a digest".to_owned());
        return Err(Error::Unusable { what, reason });
    }
    Ok(format!("{}/{}:{}", reference.host(), reference.repository(), reference.tag().unwrap_or("latest")))
}

impl Daemon {
    fn of(host: &DockerHost) -> Result<Daemon, Error> {
        let address = host.address.clone();
        let wrong = |reason: &str| Error::Settings(format!("DOCKER_HOST is `{address}`: {reason}"));
        let (http, base) = match address.split_once("://") {
            Some(("unix", path)) => (tls::local(path.as_ref(), CONNECT_TIMEOUT)?, "http://docker/".to_owned()),
            Some(("tcp" | "http" | "https", rest)) => {
                let secure = host.certificates.is_some() || address.starts_with("https:");
                let trust = if host.verify { Trust::Verified } else { Trust::Insecure };
                let certificates = host.certificates.as_deref().map(Certificates::of_docker).unwrap_or_default();
                (tls::client(trust, &certificates)?, format!("{}://{rest}/", if secure { "https" } else { "http" }))
            }
            Some(("ssh", _)) => {
                return Err(wrong("forward its socket with ssh -L, and name the local end as unix://…"));
            }
            _ => return Err(wrong("it is unix://PATH or tcp://HOST:PORT")),
        };
        let base = Url::parse(&base).map_err(|error| wrong(&error.to_string()))?;
        Ok(Daemon { http, base, address })
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.base.join(path).map_err(|error| Error::Settings(format!("{path} makes no address: {error}")))
    }

    async fn save(&self, image: &str) -> Result<Response, Error> {
        self.get(image, "get", "save an image").await
    }

    async fn id(&self, image: &str) -> Result<Digest, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            id: Digest,
        }
        let action = "look up an image";
        let answer = self.get(image, "json", action).await?;
        let answer = serde_json::from_slice::<Answer>(&self.answer(answer).await?);
        answer.map(|answer| answer.id).map_err(|error| self.failed(action, error.to_string()))
    }

    async fn get(&self, image: &str, what: &str, action: &str) -> Result<Response, Error> {
        let sent = self.http.get(self.url(&format!("images/{image}/{what}"))?).send().await;
        let response = sent.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => {
                Err(Error::NotFound { registry: "Docker's daemon".to_owned(), what: format!("image {image}") })
            }
            _ => Err(self.refused(action, response).await),
        }
    }

    async fn load(&self, bytes: ByteStream) -> Result<(), Error> {
        let failure = Arc::new(std::sync::Mutex::new(None));
        let slot = Arc::clone(&failure);
        let body = bytes.map_err(move |error| {
            let message = io::Error::new(error.kind(), error.to_string());
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(error);
            }
            message
        });
        let request = self.http.post(self.url("images/load?quiet=1")?).header("content-type", "application/x-tar");
        let sent = request.body(Body::wrap_stream(body)).send().await;
        if let Some(error) = failure.lock().ok().and_then(|mut slot| slot.take()) {
            return Err(unwrapped(error, "the image"));
        }
        let response = sent.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused("load an image", response).await);
        }
        let answer = self.answer(response).await?;
        match answer.split(|byte| *byte == b'\n').find_map(complaint) {
            Some(message) => Err(self.failed("load an image", message)),
            None => Ok(()),
        }
    }

    async fn answer(&self, response: Response) -> Result<Vec<u8>, Error> {
        let mut bytes = response.bytes_stream();
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece.map_err(|error| self.unreachable(&error))?);
            if all.len() > ANSWER_LIMIT {
                return Err(self.failed("answer", "its answer does not end".to_owned()));
            }
        }
        Ok(all)
    }

    async fn refused(&self, action: &str, response: Response) -> Error {
        #[derive(Deserialize)]
        struct Answer {
            message: String,
        }
        let status = response.status();
        let said = self.answer(response).await.ok().and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok());
        self.failed(action, said.map_or_else(|| status.to_string(), |said| said.message))
    }

    fn failed(&self, action: &str, message: String) -> Error {
        Error::Program { program: "Docker's daemon".to_owned(), action: action.to_owned(), message }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::Missing {
            what: format!("docker-daemon: no daemon answers at {}", self.address),
            reason: chain(error),
            help: "start it, or say where it listens with DOCKER_HOST=unix://PATH; an archive needs no daemon: \
                   docker-archive:FILE"
                .to_owned(),
        }
    }
}

/// What a line of the answer to `images/load` complains of.
fn complaint(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        error: Option<String>,
    }
    serde_json::from_slice::<Line>(line).ok()?.error
}
