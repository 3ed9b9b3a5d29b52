//! A real registry on loopback, Debian's `docker-registry`, and images to send to it.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use distribution::{Digest, Retries, Settings};
use image::{Image, Selection};

/// `user:secret`
const ACCOUNTS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Whether a program that a test needs is installed; with `WHARF_REQUIRE_PEERS=1` it must be.
pub fn is_installed(program: &str) -> bool {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).exists()));
    if !found {
        assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {program}");
        println!("skipped: needs {program}");
    }
    found
}

pub struct Peer {
    pub host: String,
    pub directory: tempfile::TempDir,
    child: Child,
}

impl Peer {
    /// One that everybody may use, or only `user` with the password `secret`.
    pub fn start(with_accounts: bool) -> Option<Peer> {
        Peer::configured(with_accounts, "")
    }

    /// One with this section of its configuration.
    pub fn with_auth(section: &str) -> Option<Peer> {
        Peer::configured(false, section)
    }

    fn configured(with_accounts: bool, section: &str) -> Option<Peer> {
        if !is_installed("docker-registry") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
            at.join("data").display()
        );
        config += section;
        if with_accounts {
            std::fs::write(at.join("accounts"), ACCOUNTS).unwrap();
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", at.join("accounts").display());
        }
        std::fs::write(at.join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(at.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Peer { host: format!("127.0.0.1:{port}"), directory, child })
    }

    /// The file in which the registry keeps a blob.
    pub fn blob_file(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Settings that do not wait long before they try again.
pub fn settings() -> Settings {
    let pause = Duration::from_millis(10);
    Settings { retries: Retries { attempts: 3, first_pause: pause, longest_pause: pause }, ..Settings::default() }
}

/// An image of two layers whose files hold `content`, in an OCI layout at `directory`.
pub fn image(directory: &Path, content: &str) -> Image {
    image_of(directory, &[("etc/small", content.repeat(10)), ("usr/large", content.repeat(200_000))])
}

/// An image with a layer for each of `files`.
pub fn image_of(directory: &Path, files: &[(&str, String)]) -> Image {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest.to_string(), bytes.len())
    };
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (tar, gzip) = layer(name, content);
        let (digest, size) = put(&gzip);
        diff_ids.push(format!("\"{}\"", Digest::of(&tar)));
        layers.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":{size}}}"#
        ));
    }
    let config = format!(
        r#"{{"architecture": "amd64","os":"linux","created":"2024-01-02T03:04:05Z","config":{{"Cmd":["/bin/<x>&"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let (config, config_size) = put(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[{}]}}"#,
        layers.join(",")
    );
    let (digest, size) = put(manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}]}}"#
    );
    std::fs::write(directory.join("index.json"), index).unwrap();
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    Image::open_path(directory, directory, Selection::default()).unwrap()
}

fn layer(name: &str, content: &str) -> (Vec<u8>, Vec<u8>) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    let tar = archive.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    (tar, gzip.finish().unwrap())
}

/// The digest of an image's manifest.
pub fn digest(image: &Image, cache: &image::LayerCache) -> Digest {
    Digest::of(&image.manifest(image::Compression::Gzip, cache).unwrap())
}
