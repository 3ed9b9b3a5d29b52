//! What has a hash: it must be that, wherever it comes from, and then it is enough to know it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fetch::{FetchError, Fetcher, Lifetime, Settings, Tokens};
use nix_formats::flake_ref::{Attr, FlakeRef};
use store::local::VerifyOptions;
use store::progress::Silent;

use crate::server::{Reply, Request, Server};
use crate::{Fixture, git, has_peer};

const REV: &str = "b4a34015c698c7793d592d66adbab377907a2be8";
/// The hash of nothing that is served here.
const WRONG: &str = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o644);
    header.set_mtime(1_600_000_000);
    builder.append_data(&mut header, "top/a", &b"text"[..]).unwrap();
    builder.into_inner().unwrap()
}

/// A server that gives every forge's archive, and a file.
fn forges() -> (Server, Settings) {
    let server = Server::start(|request: &Request| match request.path() {
        "/file" => Reply::ok("content"),
        _ => Reply::ok(archive()),
    });
    let hosts = ["github.com", "gitlab.com", "git.sr.ht"].map(|host| (host.to_owned(), server.address.clone()));
    let settings = Settings { forges: BTreeMap::from(hosts), lifetime: Lifetime(0), ..Settings::default() };
    (server, settings)
}

fn references(server: &Server) -> Vec<String> {
    vec![
        format!("github:o/r/{REV}"),
        format!("gitlab:o/r/{REV}"),
        format!("sourcehut:~o/r/{REV}"),
        format!("tarball+{}/x.tar", server.address),
        format!("file+{}/file", server.address),
    ]
}

fn is_clean(fixture: &Fixture) {
    let problems = fixture.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn another_content_than_was_pinned_is_refused() {
    let (server, settings) = forges();
    for reference in references(&server) {
        let fixture = Fixture::with(settings.clone());
        let parsed = FlakeRef::parse(&reference).unwrap();
        let pinned = parsed.clone().with("narHash", Some(Attr::from(WRONG)));
        let error = fixture.fetcher.tree(&pinned, "source").unwrap_err();
        assert!(matches!(error, FetchError::HashMismatch { .. }), "{reference}: {error}");
        assert!(error.to_string().contains(WRONG), "{reference}: {error}");
        let right = fixture.fetcher.tree(&parsed, "source").unwrap();
        // Having seen it makes it no better.
        let error = fixture.fetcher.tree(&pinned, "source").unwrap_err();
        assert!(matches!(error, FetchError::HashMismatch { .. }), "{reference}: {error}");
        let hash = right.locked.text("narHash").unwrap().to_owned();
        let pinned = parsed.with("narHash", Some(Attr::from(hash.as_str())));
        assert_eq!(fixture.fetcher.tree(&pinned, "source").unwrap().path, right.path, "{reference}");
        is_clean(&fixture);
    }
}

#[test]
fn a_commit_with_another_content_than_was_pinned_is_refused() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let root = fixture.path("repository");
    std::fs::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    std::fs::write(root.join("file"), "text").unwrap();
    git(&root, &["add", "."]);
    git(&root, &["commit", "--quiet", "-m", "first"]);
    let rev = git(&root, &["rev-parse", "HEAD"]);
    let parsed = FlakeRef::parse(&format!("git+file://{}?rev={rev}", root.display())).unwrap();
    let error = fixture.fetcher.tree(&parsed.with("narHash", Some(Attr::from(WRONG))), "source").unwrap_err();
    assert!(matches!(error, FetchError::HashMismatch { .. }), "{error}");
    is_clean(&fixture);
}

#[test]
fn what_was_fetched_is_there_without_the_network() {
    let (server, settings) = forges();
    let fixture = Fixture::with(settings.clone());
    let known: Vec<_> = references(&server).iter().map(|reference| fixture.tree(reference)).collect();
    let offline = |store: &Fixture, cache: std::path::PathBuf| {
        let settings = Settings { offline: true, cache, ..settings.clone() };
        Fetcher::new(store.store.clone(), Arc::new(Silent), settings)
    };
    let asked = server.requests().len();
    let here = offline(&fixture, fixture.path("cache"));
    for (reference, tree) in references(&server).iter().zip(&known) {
        assert_eq!(&here.tree(&FlakeRef::parse(reference).unwrap(), "source").unwrap(), tree, "{reference}");
        assert_eq!(&here.tree(&tree.locked, "source").unwrap(), tree, "{reference}");
        // By its hash it is found in the store, even where nothing is remembered.
        let forgetful = offline(&fixture, fixture.path("other-cache"));
        assert_eq!(forgetful.tree(&tree.locked, "source").unwrap().path, tree.path, "{reference}");
        // Elsewhere it is not there.
        let other = Fixture::new();
        let error = offline(&other, other.path("cache")).tree(&tree.locked, "source").unwrap_err();
        assert!(matches!(error, FetchError::Offline { .. }), "{reference}: {error}");
    }
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn what_a_server_cannot_give_any_more_is_as_it_was() {
    let (busy, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (now_busy, now_gone) = (Arc::clone(&busy), Arc::clone(&gone));
    let server = Server::start(move |request| match request.path() {
        _ if now_gone.load(Ordering::Relaxed) => Reply::status("404 Not Found"),
        _ if now_busy.load(Ordering::Relaxed) => Reply::status("503 Service Unavailable"),
        "/file" => Reply::ok("content"),
        _ => Reply::ok(archive()),
    });
    let network = fetch::NetworkSettings { attempts: 1, ..Default::default() };
    let network = fetch::Network::new(network);
    let fixture = Fixture::with(Settings { lifetime: Lifetime(0), network, ..Settings::default() });
    let references = ["tarball", "file"].map(|kind| {
        let name = if kind == "file" { "file" } else { "x.tar" };
        FlakeRef::parse(&format!("{kind}+{}/{name}", server.address)).unwrap()
    });
    let known = references.each_ref().map(|reference| fixture.fetcher.tree(reference, "source").unwrap());
    busy.store(true, Ordering::Relaxed);
    for (reference, tree) in references.iter().zip(&known) {
        assert_eq!(&fixture.fetcher.tree(reference, "source").unwrap(), tree);
    }
    // One that says that there is nothing is believed.
    gone.store(true, Ordering::Relaxed);
    for reference in &references {
        let error = fixture.fetcher.tree(reference, "source").unwrap_err().to_string();
        assert!(error.contains("404"), "{error}");
    }
    is_clean(&fixture);
}

#[test]
fn tokens_are_given_as_each_forge_wants_them() {
    let seen = |reference: &str, token: &str| {
        let (server, settings) = forges();
        let hosts = ["github.com", "gitlab.com", "git.sr.ht"];
        let tokens = Tokens(hosts.iter().map(|host| ((*host).to_owned(), token.to_owned())).collect());
        Fixture::with(Settings { access_tokens: tokens, ..settings }).tree(reference);
        let requests = server.requests();
        let header = |name: &str| requests[0].header(name).map(str::to_owned);
        (header("authorization"), header("private-token"))
    };
    let bearer = Some("Bearer t".to_owned());
    assert_eq!(seen(&format!("github:o/r/{REV}"), "t"), (bearer.clone(), None));
    assert_eq!(seen(&format!("gitlab:o/r/{REV}"), "OAuth2:t"), (bearer.clone(), None));
    assert_eq!(seen(&format!("gitlab:o/r/{REV}"), "PAT:t"), (None, Some("t".to_owned())));
    assert_eq!(seen(&format!("sourcehut:~o/r/{REV}"), "t"), (bearer, None));
}
