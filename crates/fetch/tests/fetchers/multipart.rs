//! Large uploads to object storage, in parts.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fetch::{Aws, CacheSettings, Network, NetworkSettings, open_cache};
use store::cache::Transport;

use crate::has_peer;
use crate::server::{Reply, Server};

/// More than two parts of the smallest size that storage takes, and nothing that could be taken for another part.
fn content() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..11 << 20).map(|_| next()).collect()
}

fn bucket(endpoint: &str) -> Box<dyn Transport> {
    let address = format!(
        "s3://bucket/prefix?endpoint={endpoint}&scheme=http&multipart-threshold=1000000&multipart-chunk-size=5242880"
    );
    let network = NetworkSettings { attempts: 3, ..NetworkSettings::default() };
    let aws = Aws { keys: Some(("AKIA".to_owned(), "hush".to_owned(), None)), ..Aws::default() };
    let settings = CacheSettings { network: Network::new(network), aws, ..CacheSettings::default() };
    open_cache(&address, &settings).unwrap().transport
}

fn put(transport: &dyn Transport, content: &[u8]) -> std::io::Result<()> {
    let mut file = transport.temporary().unwrap();
    std::io::Write::write_all(&mut file, content).unwrap();
    transport.put("nar/large.nar", file)
}

/// The parameters of a request's query.
fn parameter(target: &str, name: &str) -> Option<String> {
    let query = target.split_once('?')?.1;
    query.split('&').find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

#[derive(Default)]
struct Uploaded {
    parts: BTreeMap<u16, Vec<u8>>,
    joined: Option<Vec<u8>>,
    given_up: bool,
}

/// Storage that takes parts as S3 does; `answer` may answer in its place.
fn storage(answer: impl Fn(&str, u16) -> Option<Reply> + Send + Sync + 'static) -> (Server, Arc<Mutex<Uploaded>>) {
    let uploaded: Arc<Mutex<Uploaded>> = Arc::default();
    let kept = Arc::clone(&uploaded);
    let server = Server::start(move |request| {
        let mut kept = kept.lock().unwrap();
        let number = parameter(&request.target, "partNumber").map_or(0, |number| number.parse().unwrap());
        if let Some(reply) = answer(&request.method, number) {
            return reply;
        }
        let namespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        match request.method.as_str() {
            "POST" if request.target.contains("uploads=1") => Reply::ok(format!(
                "<InitiateMultipartUploadResult {namespace}><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
            )),
            "PUT" => {
                assert_eq!(parameter(&request.target, "uploadId").as_deref(), Some("id-1"));
                kept.parts.insert(number, request.body.clone());
                Reply::Whole("200 OK", vec![("etag", format!("\"tag-{number}\""))], Vec::new())
            }
            "POST" => {
                let text = std::str::from_utf8(&request.body).unwrap();
                let places: Vec<usize> =
                    kept.parts.keys().map(|part| text.find(&format!("tag-{part}")).unwrap()).collect();
                assert!(places.is_sorted(), "{text}");
                kept.joined = Some(kept.parts.values().flatten().copied().collect());
                Reply::ok(format!(
                    "<CompleteMultipartUploadResult {namespace}><ETag>\"x\"</ETag></CompleteMultipartUploadResult>"
                ))
            }
            "DELETE" => {
                kept.given_up = true;
                Reply::status("204 No Content")
            }
            _ => Reply::status("404 Not Found"),
        }
    });
    (server, uploaded)
}

#[test]
fn parts_are_joined_in_their_order() {
    let failed = Mutex::new(false);
    let (server, uploaded) = storage(move |method, number| {
        let mut failed = failed.lock().unwrap();
        let fails = method == "PUT" && number == 2 && !*failed;
        *failed |= fails;
        fails.then(|| Reply::status("503 Slow Down"))
    });
    let content = content();
    put(&*bucket(server.address.trim_start_matches("http://")), &content).unwrap();
    let uploaded = uploaded.lock().unwrap();
    assert_eq!(uploaded.parts.len(), 3);
    assert!(uploaded.joined.as_ref() == Some(&content) && !uploaded.given_up);
    assert!(server.requests().iter().all(|request| request.target.contains("X-Amz-Signature=")));
}

#[test]
fn an_upload_that_fails_is_given_up() {
    for (method, status) in [("PUT", "403 Forbidden"), ("POST", "200 OK")] {
        let (server, uploaded) = storage(move |asked, number| {
            let fails = asked == method && (number == 2 || method == "POST");
            let error = "<Error><Code>InternalError</Code><Message>try again</Message></Error>";
            fails.then(|| Reply::Whole(status, Vec::new(), error.into()))
        });
        let error = put(&*bucket(server.address.trim_start_matches("http://")), &content()).unwrap_err().to_string();
        assert!(!error.contains("Signature"), "{error}");
        let uploaded = uploaded.lock().unwrap();
        assert!(uploaded.joined.is_none());
        // Without an upload there is none to give up.
        assert_eq!(uploaded.given_up, method == "PUT", "{error}");
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_foreign_storage_takes_large_files() {
    if !has_peer("moto_server") {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("moto_server")
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(server);
    let start = Instant::now();
    let endpoint = format!("127.0.0.1:{port}");
    // Its answer is of no interest: the upload shows whether the bucket is there.
    loop {
        let made = std::net::TcpStream::connect(&endpoint).and_then(|mut stream| {
            let request =
                format!("PUT /bucket HTTP/1.1\r\nhost: {endpoint}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            std::io::Write::write_all(&mut stream, request.as_bytes())?;
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer)?;
            Ok(answer)
        });
        if made.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the storage does not start");
        std::thread::sleep(Duration::from_millis(200));
    }
    let transport = bucket(&endpoint);
    let content = content();
    put(&*transport, &content).unwrap();
    let mut read = Vec::new();
    transport.open("nar/large.nar").unwrap().unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content);
    assert!(transport.exists("nar/large.nar").unwrap() && !transport.exists("nar/other.nar").unwrap());
}
