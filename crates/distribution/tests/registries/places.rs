//! Images between registries, files and a Docker daemon that is played by a thread: platforms, digests, what archives hold.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use distribution::{Client, Digest, Error, Platform, Select, Settings};
use image::{Image, Selection};

use crate::faults::{Proxy, noise};
use crate::peer::{self, Peer, settings};

fn platform(architecture: &str) -> Platform {
    Platform { os: "linux".into(), architecture: architecture.into(), variant: None }
}

/// A layout with an index of two platforms under the tag `1`, and one of them alone under the tag `one`; the index's digest.
fn index(directory: &Path) -> (Digest, Digest) {
    peer::image(directory, "amd64");
    let first: serde_json::Value = read(&directory.join("index.json"));
    peer::image(directory, "arm64");
    let second: serde_json::Value = read(&directory.join("index.json"));
    let entry = |document: &serde_json::Value, architecture: &str| {
        let mut entry = document["manifests"][0].clone();
        entry["platform"] = serde_json::json!({ "architecture": architecture, "os": "linux" });
        entry
    };
    let kind = "application/vnd.oci.image.index.v1+json";
    let both = [entry(&first, "amd64"), entry(&second, "arm64")];
    let bytes = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": both }).to_string();
    let digest = Digest::of(bytes.as_bytes());
    std::fs::write(directory.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
    let tag = |mut entry: serde_json::Value, tag: &str| {
        entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
        entry
    };
    let whole = serde_json::json!({ "mediaType": kind, "digest": digest.to_string(), "size": bytes.len() });
    let manifests = [tag(whole, "1"), tag(first["manifests"][0].clone(), "one")];
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(directory.join("index.json"), top.to_string()).unwrap();
    (digest, second["manifests"][0]["digest"].as_str().unwrap().parse().unwrap())
}

fn read(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_goes_whole_or_one_platform_of_it() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let (whole, arm) = index(&place.path().join("source"));
    let client = Client::new(settings());
    let mut options = crate::copy_options(place.path());
    options.preserve_digests = true;
    let (source, registry) = (format!("oci:{}:1", at("source")), format!("{}/multi:1", peer.host));
    for (from, to) in [
        (source.clone(), registry.clone()),
        (registry.clone(), format!("oci:{}:1", at("layout"))),
        (registry.clone(), format!("oci-archive:{}:1", at("archive.tar"))),
        (format!("oci-archive:{}:1", at("archive.tar")), format!("{}/again:1", peer.host)),
    ] {
        options.select = Select::All;
        assert_eq!(crate::copy(&client, &from, &to, &options).await.unwrap().digest, whole, "{to}");
    }
    let resolved = client.resolve(&registry.parse().unwrap()).await.unwrap();
    assert_eq!(resolved.platforms().len(), 2);
    options.select = Select::One(platform("arm64"));
    let one = format!("{}/arm:1", peer.host);
    let copied = crate::copy(&client, &source, &one, &options).await.unwrap();
    assert_eq!((copied.digest, copied.blobs_sent), (arm, 3));
    options.select = Select::One(platform("riscv64"));
    let none = crate::copy(&client, &source, &one, &options).await.unwrap_err().to_string();
    assert!(none.contains("linux/riscv64") && none.contains("linux/amd64, linux/arm64"), "{none}");
    for to in ["oci:NONE", "oci-archive:NONE"] {
        let to = to.replace("NONE", &at("none"));
        assert!(crate::copy(&client, &source, &to, &options).await.is_err());
        assert!(!place.path().join("none").exists(), "{to}: nothing is left");
    }

    let archive = format!("docker-archive:{}:multi:1", at("docker.tar"));
    options.select = Select::All;
    let refused = crate::copy(&client, &source, &archive, &options).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be preserved"), "{refused}");
    options.preserve_digests = false;
    let refused = crate::copy(&client, &source, &archive, &options).await.unwrap_err().to_string();
    assert!(refused.contains("holds one platform"), "{refused}");
    options.select = Select::WhatFits(platform("arm64"));
    crate::copy(&client, &source, &archive, &options).await.unwrap();
    let image = Image::open_path(&place.path().join("docker.tar"), place.path(), Selection::default()).unwrap();
    image.verify().unwrap();
    assert_eq!(image.reference().as_deref(), Some("multi:1"));
    // A layout keeps its other images.
    options.select = Select::All;
    crate::copy(&client, &format!("oci:{}:one", at("source")), &format!("oci:{}:two", at("layout")), &options)
        .await
        .unwrap();
    let names = read(&place.path().join("layout/index.json"));
    assert_eq!(names["manifests"].as_array().map(Vec::len), Some(2), "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_missing_leaves_nothing() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    index(&source);
    let client = Client::new(settings());
    let options = crate::copy_options(place.path());
    let from = format!("oci:{}:one", source.display());
    let manifest = read(&source.join("index.json"))["manifests"][1]["digest"].as_str().unwrap().to_owned();
    let layer = read(&source.join("blobs").join(manifest.replace(':', "/")))["layers"][1]["digest"].clone();
    let blob = source.join("blobs").join(layer.as_str().unwrap().replace(':', "/"));
    let whole = std::fs::read(&blob).unwrap();
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    for to in ["oci:OUT", "oci-archive:OUT", "docker-archive:OUT:a:1"] {
        let to = to.replace("OUT", &place.path().join("out").display().to_string());
        let error = crate::copy(&client, &from, &to, &options).await.unwrap_err().to_string();
        assert!(error.contains("is not what its digest says"), "{to}: {error}");
        assert!(!place.path().join("out").exists(), "{to}");
    }
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    let to = format!("{}/damaged:1", peer.host);
    assert!(crate::copy(&client, &from, &to, &options).await.is_err());
    assert!(client.resolve(&to.parse().unwrap()).await.is_err(), "no tag is left");
    std::fs::write(&blob, &whole[..whole.len() / 2]).unwrap();
    let missing = crate::copy(&client, &from, &to, &options).await.unwrap_err().to_string();
    assert!(missing.contains("has no blob"), "{missing}");
    let several = crate::copy(&client, &format!("oci:{}", source.display()), &to, &options).await.unwrap_err();
    assert!(several.to_string().contains("it has several images; name one: 1, one"), "{several}");
    let foreign = format!("oci:{}:1", place.path().display());
    let refused = crate::copy(&client, &from, &foreign, &options).await.unwrap_err().to_string();
    assert!(refused.contains("is no OCI layout"), "{refused}");
}

/// A daemon that gives one archive, and takes any.
struct Daemon {
    socket: PathBuf,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Daemon {
    fn start(place: &Path, archive: Vec<u8>, answer: &'static str) -> Daemon {
        std::fs::create_dir_all(place).unwrap();
        let socket = place.join("docker.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let taken: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (archive, kept) = (Arc::new(archive), Arc::clone(&taken));
        std::thread::spawn(move || {
            // An image may go from the daemon to the daemon: both requests are open at the same time.
            for stream in listener.incoming().map_while(Result::ok) {
                let (archive, kept) = (Arc::clone(&archive), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &archive, answer, &kept));
            }
        });
        Daemon { socket, taken }
    }

    fn client(&self) -> Client {
        let mut settings: Settings = settings();
        settings.docker.address = format!("unix://{}", self.socket.display());
        Client::new(settings)
    }
}

fn serve(mut stream: UnixStream, archive: &[u8], answer: &str, kept: &Mutex<Vec<Vec<u8>>>) {
    let Some((line, body)) = request(&stream) else { return };
    // Its ID is asked for before; here it is one that no registry has, except that `answer` may say another.
    let id = format!(r#"{{"Id":"sha256:{}"}}"#, "0".repeat(64));
    let bytes = match line.split(' ').nth(1) {
        Some("/images/app:1/get") => archive,
        Some("/images/app:1/json") if !answer.contains("Id") => id.as_bytes(),
        _ => answer.as_bytes(),
    };
    if line.starts_with("POST /images/load") {
        kept.lock().unwrap().push(body);
    }
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", bytes.len());
    let _ = stream.write_all(&[head.as_bytes(), bytes].concat());
}

/// A request with a body in chunks or none.
fn request(stream: &UnixStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut chunked, mut body) = (String::new(), false, Vec::new());
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        chunked |= header.to_lowercase().starts_with("transfer-encoding: chunked");
    }
    if !chunked {
        return Some((line, body));
    }
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = u64::from_str_radix(size.trim(), 16).ok()?;
        reader.by_ref().take(size + 2).read_to_end(&mut body).ok()?;
        body.truncate(body.len() - 2);
        if size == 0 {
            return Some((line, body));
        }
    }
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What `docker save` gives from version 25 on: a layout whose layers are not compressed, with `manifest.json` beside.
fn saved(content: &[u8]) -> (Vec<u8>, Digest, Digest) {
    let layer = archive(&[("etc/file", content)]);
    let diff_id = Digest::of(&layer);
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let id = Digest::of(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{id}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{diff_id}","size":{}}}]}}"#,
        config.len(),
        layer.len()
    );
    let digest = Digest::of(manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{}}}]}}"#,
        manifest.len()
    );
    let name = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let docker = format!(r#"[{{"Config":"{}","RepoTags":["app:1"],"Layers":["{}"]}}]"#, name(id), name(diff_id));
    let bytes = archive(&[
        (&name(diff_id), &layer),
        (&name(id), config.as_bytes()),
        (&name(digest), manifest.as_bytes()),
        ("index.json", index.as_bytes()),
        ("manifest.json", docker.as_bytes()),
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
    ]);
    (bytes, id, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_a_layout_is_read_once_and_compressed_on_the_way() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let (bytes, id, digest) = saved(&b"content\n".repeat(50_000));
    let daemon = Daemon::start(place.path(), bytes, r#"{"stream":"Loaded image: app:1\n"}"#);
    let client = daemon.client();
    let options = crate::copy_options(place.path());
    let to = format!("{}/app:1", peer.host);
    let copied = crate::copy(&client, "docker-daemon:app:1", &to, &options).await.unwrap();
    assert!(copied.bytes_sent < 20_000 && copied.digest != digest, "{copied:?}");
    let again = crate::copy(&client, "docker-daemon:app:1", &to, &options).await.unwrap();
    assert!(again.up_to_date && again.bytes_sent == 0, "{again:?}");
    // That the tag has the image is known from its ID, without an archive.
    let known = Box::leak(format!(r#"{{"Id":"{id}"}}"#).into_boxed_str());
    let other = Daemon::start(&place.path().join("other"), Vec::new(), known);
    let third = crate::copy(&other.client(), "docker-daemon:app:1", &to, &options).await.unwrap();
    assert_eq!((third.up_to_date, third.digest), (true, copied.digest));
    // Without compression it is what the layout says.
    let plain = distribution::CopyOptions { compression: image::Compression::None, ..options.clone() };
    let copied = crate::copy(&client, "docker-daemon:app:1", &format!("{}/plain:1", peer.host), &plain).await.unwrap();
    assert_eq!(copied.digest, digest);
    for to in ["oci:LAYOUT:1", "oci-archive:ARCHIVE:1", "docker-archive:DOCKER:app:1", "docker-daemon:again:1"] {
        let path = |name: &str| place.path().join(name).display().to_string();
        let to = to.replace("LAYOUT", &path("l")).replace("ARCHIVE", &path("a")).replace("DOCKER", &path("d"));
        crate::copy(&client, "docker-daemon:app:1", &to, &options).await.unwrap();
    }
    std::fs::write(place.path().join("loaded"), daemon.taken.lock().unwrap().pop().unwrap()).unwrap();
    for name in ["l", "a", "d", "loaded"] {
        let image = Image::open_path(&place.path().join(name), place.path(), Selection::default()).unwrap();
        image.verify().unwrap();
        assert_eq!(image.id(), id, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_asked_for_again_where_its_upload_breaks() {
    let Some(peer) = Peer::start(false) else { return };
    let (proxy, place) = (Proxy::start(&peer.host), tempfile::tempdir().unwrap());
    let (bytes, ..) = saved(noise(1, 3_000_000).as_bytes());
    let daemon = Daemon::start(place.path(), bytes, "");
    let options = crate::copy_options(place.path());
    proxy.breaks(1, 500_000);
    let copied = crate::copy(&daemon.client(), "docker-daemon:app:1", &format!("{}/app:1", proxy.host), &options).await;
    let there = daemon.client().resolve(&format!("{}/app:1", peer.host).parse().unwrap()).await.unwrap();
    assert_eq!(there.descriptor.digest, copied.unwrap().digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_complains_and_archives_that_lie_are_errors() {
    let place = tempfile::tempdir().unwrap();
    let out = format!("oci:{}:1", place.path().join("out").display());
    let options = crate::copy_options(place.path());
    let (bytes, ..) = saved(&b"content\n".repeat(50_000));
    let daemon =
        Daemon::start(place.path(), bytes.clone(), r#"{"errorDetail":{"message":"no space"},"error":"no space"}"#);
    let error = crate::copy(&daemon.client(), "docker-daemon:app:1", "docker-daemon:b:1", &options).await.unwrap_err();
    assert!(matches!(error, Error::Program { .. }) && error.to_string().contains("no space"), "{error}");
    let mut changed = bytes.clone();
    changed[2000] ^= 1;
    let two =
        archive(&[("manifest.json", br#"[{"Config":"a","Layers":[]},{"Config":"b","Layers":[]}]"#), ("a", b"{}")]);
    let layerless = archive(&[("manifest.json", br#"[{"Config":"a","Layers":["../x"]}]"#), ("a", b"{}")]);
    for (bytes, reason) in [
        (changed, "is not what its digest says"),
        (bytes[..300_000].to_vec(), "the archive is cut off"),
        (b"no tar".repeat(200), "cannot be used"),
        (Vec::new(), "it has no `manifest.json`"),
        (two, "it has 2 images"),
        (layerless, "it has no layer `../x`"),
    ] {
        let daemon = Daemon::start(place.path(), bytes, "");
        let error = crate::copy(&daemon.client(), "docker-daemon:app:1", &out, &options).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(!place.path().join("out").exists(), "{reason}");
    }
}
