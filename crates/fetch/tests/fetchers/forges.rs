//! Forges, and servers that misbehave, on this machine's own network.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use fetch::{FetchError, Fetcher, Lifetime, Settings, Tokens};
use nix_formats::flake_ref::FlakeRef;
use store::progress::Silent;

use crate::Fixture;

const REV: &str = "b4a34015c698c7793d592d66adbab377907a2be8";

/// What a request is answered with: the status line's end, headers, body.
type Answer = (&'static str, String, Vec<u8>);

/// A server that answers by path, and notes the requests with their `authorization`.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: Vec<(&str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = requests.clone();
        let answers: Vec<(String, Answer)> =
            answers.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &answers, &noted);
            }
        });
        Self { address, requests }
    }
}

fn answer(mut stream: TcpStream, answers: &[(String, Answer)], noted: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let mut note = request.split(' ').nth(1).unwrap().to_owned();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            note = format!("{note} {value}");
        }
    }
    let path = note.split(' ').next().unwrap();
    let missing = ("404 Not Found", String::new(), Vec::new());
    let (status, headers, body) =
        answers.iter().find(|(known, _)| known == path).map_or(&missing, |(_, answer)| answer);
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(body);
    noted.lock().unwrap().push(note);
}

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mtime(1_600_000_000);
    builder.append_data(&mut header, "top/a", &b"text"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    ("200 OK", String::new(), body.into())
}

#[test]
fn github_is_asked_for_the_commit_and_its_archive() {
    let server = Server::start(vec![
        ("/api/repos/o/r/commits/a%2Fb", ok(format!("{{\"sha\":\"{REV}\"}}"))),
        (&format!("/api/repos/o/r/tarball/{REV}"), ok(archive())),
    ]);
    let forges = BTreeMap::from([("github.com".to_owned(), format!("{}/api", server.address))]);
    let access_tokens = Tokens(BTreeMap::from([
        ("github.com".to_owned(), "less".to_owned()),
        ("github.com/o".to_owned(), "secret".to_owned()),
        ("github.com/other".to_owned(), "no".to_owned()),
    ]));
    let fixture = Fixture::with(Settings { forges, access_tokens, ..Settings::default() });
    let tree = fixture.tree("github:o/r/a/b");
    assert_eq!((tree.locked.text("rev"), tree.locked.text("ref")), (Some(REV), None));
    assert_eq!(tree.locked.number("lastModified"), Some(1_600_000_000));
    assert_eq!(fixture.fetcher.tree(&tree.locked, "source").unwrap(), tree);
    assert_eq!(fixture.tree(&format!("github:o/r/{REV}")), tree);
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 2, "what is locked is not fetched again: {requests:?}");
    assert!(requests.iter().all(|request| request.ends_with(" bearer secret")));
}

#[test]
fn gitlab_and_sourcehut_have_their_own_ways() {
    let server = Server::start(vec![
        ("/projects/o%2Fr/repository/commits?ref_name=HEAD", ok(format!("[{{\"id\":\"{REV}\"}}]"))),
        (&format!("/projects/o%2Fr/repository/archive.tar.gz?sha={REV}"), ok(archive())),
        ("/~o/r/info/refs", ok(format!("{}\trefs/heads/other\n{REV}\trefs/tags/v1\n", "0".repeat(40)))),
        (&format!("/~o/r/archive/{REV}.tar.gz"), ok(archive())),
    ]);
    let hosts = ["gitlab.com", "git.sr.ht"].map(|host| (host.to_owned(), server.address.clone()));
    let fixture = Fixture::with(Settings { forges: BTreeMap::from(hosts), ..Settings::default() });
    let gitlab = fixture.tree("gitlab:o/r");
    assert_eq!(gitlab.locked.text("rev"), Some(REV));
    let sourcehut = fixture.tree("sourcehut:~o/r/v1");
    assert_eq!((sourcehut.locked.text("rev"), &sourcehut.path), (Some(REV), &gitlab.path));
    let gone = FlakeRef::parse("sourcehut:~o/r/gone").unwrap();
    let error = fixture.fetcher.tree(&gone, "source").unwrap_err();
    assert!(error.to_string().contains("no branch or tag 'gone'"), "{error}");
}

#[test]
fn a_server_may_name_a_better_address() {
    let link =
        "link: <https://example.org/fixed.tar.gz?rev=b4a34015c698c7793d592d66adbab377907a2be8>; rel=\"immutable\"\r\n";
    let server = Server::start(vec![("/latest.tar.gz", ("200 OK", link.to_owned(), archive()))]);
    let fixture = Fixture::new();
    let tree = fixture.tree(&format!("{}/latest.tar.gz", server.address));
    assert_eq!(tree.locked.text("url"), Some("https://example.org/fixed.tar.gz"));
    assert_eq!(tree.locked.text("rev"), Some(REV));
}

#[test]
fn servers_that_fail_are_asked_again_and_then_named() {
    let server = Server::start(vec![("/busy", ("503 Service Unavailable", String::new(), Vec::new()))]);
    let fixture = Fixture::new();
    let missing = fixture.fetcher.file(&format!("{}/missing", server.address), "x", None).unwrap_err();
    assert!(matches!(missing, FetchError::Download { .. }));
    assert!(missing.to_string().contains("404"), "{missing}");
    let cut = archive()[..700].to_vec();
    let server = Server::start(vec![("/cut.tar", ok(cut)), ("/no.tar", ok("not an archive"))]);
    for name in ["cut.tar", "no.tar"] {
        let error = fixture.fetcher.tarball(&format!("{}/{name}", server.address), "source", None).unwrap_err();
        assert!(matches!(error, FetchError::Archive { .. }), "{error}");
    }
    assert!(fixture.store.all_paths().unwrap().is_empty());
}

#[test]
fn forgejo_has_its_own_places() {
    let server = Server::start(vec![
        ("/api/v1/repos/o/r/git/commits/main", ok(format!("{{\"sha\":\"{REV}\"}}"))),
        (&format!("/api/v1/repos/o/r/archive/{REV}.tar.gz"), ok(archive())),
    ]);
    let forges = BTreeMap::from([("git.example.org".to_owned(), format!("{}/api/v1/", server.address))]);
    let fixture = Fixture::with(Settings { forges: forges.clone(), ..Settings::default() });
    let tree = fixture.tree("github:o/r/main?host=git.example.org");
    assert_eq!(tree.locked.to_string().split('?').next(), Some(&*format!("github:o/r/{REV}")));
    assert_eq!(tree.locked.text("host"), Some("git.example.org"));
    // What the forge said lately is not asked again, and without a network for as long as there is none.
    fixture.tree("github:o/r/main?host=git.example.org");
    assert_eq!(server.requests.lock().unwrap().len(), 2);
    let settings =
        Settings { offline: true, lifetime: Lifetime(0), cache: fixture.path("cache"), ..Settings::default() };
    let offline = Fetcher::new(fixture.store.clone(), Arc::new(Silent), settings);
    let reference = FlakeRef::parse("github:o/r/main?host=git.example.org").unwrap();
    assert_eq!(offline.tree(&reference, "source").unwrap(), tree);
    let other = FlakeRef::parse("github:o/r/other?host=git.example.org").unwrap();
    assert!(matches!(offline.tree(&other, "source"), Err(FetchError::Offline { .. })));
}
