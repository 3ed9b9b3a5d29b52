//! Registries that break off, are busy, or lie: a small server that follows a script.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use distribution::{Client, Digest, Error, Reference};
use store::progress::Silent;

use crate::peer::settings;

/// A request as it came: its first line and its headers in lower case.
#[derive(Clone)]
struct Request {
    line: String,
    headers: String,
    body: Vec<u8>,
    breaks: bool,
}

/// After how many bytes a large body in one request breaks off.
const BREAKS_AT: u64 = 300_000;

/// Answers every request by `script`, which gets the request and its number, and closes the connection after it.
struct Rude {
    host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Rude {
    fn start(script: impl Fn(&Request, usize) -> Vec<u8> + Send + 'static) -> Rude {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (record, count) = (Arc::clone(&seen), AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read(&mut stream) else { continue };
                record.lock().unwrap().push(request.clone());
                let answer = script(&request, count.fetch_add(1, Ordering::Relaxed));
                if request.breaks {
                    continue;
                }
                let _ = stream.write_all(&answer);
            }
        });
        Rude { host, seen }
    }

    fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.host).parse().unwrap()
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        headers.push_str(&header);
        headers.push('\n');
    }
    let mut body = Vec::new();
    // The first attempt at a large body breaks off in the middle.
    let breaks = line.starts_with("PUT") && length > BREAKS_AT;
    reader.take(if breaks { BREAKS_AT } else { length }).read_to_end(&mut body).ok()?;
    Some(Request { line, headers, body, breaks })
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A manifest of one blob, the configuration.
fn manifest(blob: &[u8]) -> Vec<u8> {
    let (digest, size) = (Digest::of(blob), blob.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{size}}},"layers":[]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn a_broken_download_is_taken_up_where_it_broke() {
    let blob: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let content = blob.clone();
    let rude = Rude::start(move |request, _| {
        if request.line.contains("/manifests/") {
            return answer("200 OK", "", &manifest(&content));
        }
        if !request.line.contains("/blobs/") {
            return answer("200 OK", "", b"{}");
        }
        match request.headers.lines().find_map(|line| line.strip_prefix("range: bytes=")) {
            None => {
                let whole = answer("200 OK", "", &content);
                whole[..whole.len() - 40_000].to_vec()
            }
            Some(range) => {
                let from: usize = range.trim_end_matches('-').parse().unwrap();
                answer("206 Partial Content", "", &content[from..])
            }
        }
    });
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let client = Client::new(settings());
    client.pull(&rude.reference("a:1"), &crate::linux(), &out, None, &Silent).await.unwrap();
    assert_eq!(std::fs::read(out.join("blobs/sha256").join(Digest::of(&blob).hex())).unwrap(), blob);
    assert_eq!(rude.seen().iter().filter(|request| request.headers.contains("range: bytes=")).count(), 1);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_and_a_lie_is_found() {
    let rude = Rude::start(|request, number| match number {
        0 => answer("503 Service Unavailable", "", b""),
        1 => answer("200 OK", "", b"{}"),
        2 => answer("429 Too Many Requests", "retry-after: 0\r\n", b""),
        3 => answer("503 Service Unavailable", "", b""),
        _ if request.line.contains("sha256:") => answer("200 OK", "", &manifest(b"other")),
        _ => answer("200 OK", "", &manifest(b"blob")),
    });
    let client = Client::new(settings());
    let resolved = client.resolve(&rude.reference("a:1")).await.unwrap();
    assert_eq!(resolved.descriptor.digest, Digest::of(&manifest(b"blob")));
    let lie = client.resolve(&rude.reference("a").with_digest(resolved.descriptor.digest)).await.unwrap_err();
    assert!(matches!(lie, Error::Corrupt { .. }), "{lie}");
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    let foreign = Rude::start(|_, _| answer("200 OK", "", &manifest(b"blob")));
    let elsewhere = foreign.host.clone();
    let rude = Rude::start(move |request, _| {
        if !request.headers.contains("authorization: basic") {
            return answer("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n", b"");
        }
        answer("307 Temporary Redirect", &format!("location: http://{elsewhere}/somewhere\r\n"), b"")
    });
    let account = distribution::Credential::Password { user: "user".into(), password: "secret".into() };
    let mut settings = settings();
    settings.credentials.insert(rude.host.clone(), account);
    Client::new(settings).resolve(&rude.reference("a:1")).await.unwrap();
    assert!(rude.seen().iter().any(|request| request.headers.contains("authorization")));
    assert!(!foreign.seen().is_empty());
    assert!(foreign.seen().iter().all(|request| !request.headers.contains("authorization")));
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent() {
    let rude = Rude::start(|request, _| {
        let host = request.headers.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
        if request.line.contains("/token") {
            let known = request.headers.contains("authorization: basic dxnlcjpzzwnyzxq=");
            assert!(
                known && request.line.contains("scope=repository%3Aa%3Apull") && request.line.contains("service=s")
            );
            return answer("200 OK", "", br#"{"token":"t0ken","expires_in":300}"#);
        }
        if !request.headers.contains("authorization: bearer t0ken") {
            let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
            return answer("401 Unauthorized", &challenge, b"");
        }
        answer("200 OK", "", &manifest(b"blob"))
    });
    let account = distribution::Credential::Password { user: "user".into(), password: "secret".into() };
    let mut settings = settings();
    settings.credentials.insert(rude.host.clone(), account);
    let client = Client::new(settings);
    client.resolve(&rude.reference("a:1")).await.unwrap();
    client.resolve(&rude.reference("a:2")).await.unwrap();
    assert_eq!(rude.seen().iter().filter(|request| request.line.contains("/token")).count(), 1);
}

#[tokio::test]
async fn a_broken_upload_is_taken_up_where_it_broke() {
    let blobs: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (kept, open) = (Arc::clone(&blobs), Mutex::new(Vec::new()));
    let rude = Rude::start(move |request, _| {
        let mut open = open.lock().unwrap();
        let method = request.line.split(' ').next().unwrap();
        match method {
            "HEAD" => answer("404 Not Found", "", b""),
            "GET" if request.line.contains("/uploads/") => {
                let headers = format!("location: /v2/a/blobs/uploads/1\r\nrange: 0-{}\r\n", open.len() - 1);
                answer("204 No Content", &headers, b"")
            }
            "GET" => answer("200 OK", "", b"{}"),
            "POST" => {
                open.clear();
                answer("202 Accepted", "location: /v2/a/blobs/uploads/1?state=x\r\n", b"")
            }
            "PATCH" => {
                assert!(request.headers.contains(&format!("content-range: {}-", open.len())), "{}", request.headers);
                open.extend_from_slice(&request.body);
                answer("202 Accepted", "location: /v2/a/blobs/uploads/1\r\n", b"")
            }
            _ if request.line.contains("/manifests/") => answer("201 Created", &stored(&request.body), b""),
            _ => {
                open.extend_from_slice(&request.body);
                if !request.breaks {
                    kept.lock().unwrap().push(open.clone());
                }
                answer("201 Created", "", b"")
            }
        }
    });
    let place = tempfile::tempdir().unwrap();
    let noise: String = (0..150_000u64).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)).collect();
    let image = crate::peer::image_of(&place.path().join("one"), &[("noise", noise)]);
    let client = Client::new(distribution::Settings { parallel: 1, ..settings() });
    let pushed = crate::push(&client, &image, &rude.reference("a:1").to_string(), &crate::options(place.path())).await;
    assert_eq!(pushed.unwrap().blobs_sent, 2);
    let image::Source::File { descriptor, .. } = image.layers[0].source() else { panic!("no blob") };
    assert!(descriptor.size > 2 * BREAKS_AT);
    assert_eq!(Digest::of(&blobs.lock().unwrap()[0]), descriptor.digest);
    let patches: Vec<Request> = rude.seen().into_iter().filter(|request| request.line.starts_with("PATCH")).collect();
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].body.len() as u64, descriptor.size - BREAKS_AT);
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_a_push_is_replaced() {
    // Each token is good for so many requests; what they are does not matter.
    for good_for in 1..8 {
        let (issued, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let rude = Rude::start(move |request, _| {
            let host = request.headers.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
            if request.line.contains("/token") {
                used.store(0, Ordering::Relaxed);
                let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
                return answer("200 OK", "", format!(r#"{{"token":"t{number}","expires_in":300}}"#).as_bytes());
            }
            let current = format!("authorization: bearer t{}\n", issued.load(Ordering::Relaxed));
            let known = request.headers.contains(&current) && used.fetch_add(1, Ordering::Relaxed) < good_for;
            if !known {
                let challenge =
                    format!("www-authenticate: Bearer realm=\"http://{host}/token\",error=\"invalid_token\"\r\n");
                return answer("401 Unauthorized", &challenge, b"");
            }
            match request.line.split(' ').next().unwrap() {
                "HEAD" => answer("404 Not Found", "", b""),
                "POST" => answer("202 Accepted", "location: /v2/a/blobs/uploads/1\r\n", b""),
                "PATCH" => answer("202 Accepted", "location: /v2/a/blobs/uploads/1\r\n", b""),
                _ => answer("201 Created", &stored(&request.body), b""),
            }
        });
        let place = tempfile::tempdir().unwrap();
        let image = crate::peer::image_of(&place.path().join("one"), &[("file", "content".repeat(1000))]);
        let client = Client::new(distribution::Settings { parallel: 1, ..settings() });
        let to = rude.reference("a:1").to_string();
        let pushed = crate::push(&client, &image, &to, &crate::options(place.path())).await;
        assert_eq!(pushed.unwrap_or_else(|error| panic!("{good_for}: {error}")).blobs_sent, 2);
    }
}

#[tokio::test]
async fn the_tag_comes_last_and_what_was_stored_is_checked() {
    for honest in [true, false] {
        let rude = Rude::start(move |request, _| match request.line.split(' ').next().unwrap() {
            "HEAD" => answer("404 Not Found", "", b""),
            "GET" => answer("200 OK", "", b"{}"),
            "POST" | "PATCH" => answer("202 Accepted", "location: /v2/a/blobs/uploads/1\r\n", b""),
            _ => answer("201 Created", &stored(if honest { &request.body } else { b"other" }), b""),
        });
        let place = tempfile::tempdir().unwrap();
        let image = crate::peer::image(&place.path().join("one"), "one");
        let to = rude.reference("a:1").to_string();
        let options = crate::options(place.path());
        let pushed = crate::push(&Client::new(settings()), &image, &to, &options).await;
        let changes: Vec<String> = rude.seen().into_iter().map(|request| request.line).collect();
        let changes: Vec<&String> = changes.iter().filter(|line| !line.starts_with("HEAD")).collect();
        let at = |part: &str| changes.iter().position(|line| line.contains(part));
        let last_blob = changes.iter().rposition(|line| line.contains("/blobs/")).unwrap();
        if honest {
            assert!(last_blob < at("PUT /v2/a/manifests/sha256:").unwrap(), "{changes:?}");
            assert_eq!(at("PUT /v2/a/manifests/1 "), Some(changes.len() - 1), "{changes:?}");
            pushed.unwrap();
        } else {
            assert!(matches!(pushed, Err(Error::Corrupt { .. })), "{pushed:?}");
            assert_eq!(at("PUT /v2/a/manifests/1 "), None, "{changes:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_elsewhere_gets_no_credentials() {
    let storage = Rude::start(|request, _| answer("201 Created", &stored(&request.body), b""));
    let elsewhere = storage.host.clone();
    let rude = Rude::start(move |request, _| {
        if !request.headers.contains("authorization: basic") {
            return answer("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n", b"");
        }
        match request.line.split(' ').next().unwrap() {
            "HEAD" => answer("404 Not Found", "", b""),
            "POST" => answer("202 Accepted", &format!("location: http://{elsewhere}/bucket?signature=x\r\n"), b""),
            _ => answer("201 Created", &stored(&request.body), b""),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let image = crate::peer::image_of(&place.path().join("one"), &[("file", "content".repeat(1000))]);
    let account = distribution::Credential::Password { user: "user".into(), password: "secret".into() };
    let mut settings = settings();
    settings.credentials.insert(rude.host.clone(), account);
    let to = rude.reference("a:1").to_string();
    crate::push(&Client::new(settings), &image, &to, &crate::options(place.path())).await.unwrap();
    let seen = storage.seen();
    assert!(seen.len() >= 2 && seen.iter().all(|request| !request.headers.contains("authorization")));
    assert!(seen.iter().any(|request| request.line.contains("signature=x&digest=sha256")));
}

fn stored(manifest: &[u8]) -> String {
    format!("docker-content-digest: {}\r\n", Digest::of(manifest))
}
