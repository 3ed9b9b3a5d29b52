//! Binary caches behind servers: good ones, and all that a bad one can do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fetch::{Aws, CacheSettings, Netrc, Network, NetworkSettings, Tokens, open_cache};
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use store::cache::{
    BinaryCache, CacheError, CacheOptions, Directory, ExportOptions, Lifetimes, Lookups, Substituters, export,
};
use store::local::VerifyOptions;
use store::progress::Silent;
use store::{PathInfo, Store};

use crate::Fixture;
use crate::server::{Reply, Request, Server};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[1; 32])
}

/// The files of a cache with one large object that needs a signature.
#[derive(Clone)]
struct Files {
    path: StorePath,
    files: Arc<HashMap<String, Vec<u8>>>,
}

impl Files {
    fn new(compression: Compression) -> Self {
        let from = Fixture::new();
        // Bytes that no compressor makes smaller.
        let mut content = Vec::new();
        let mut state = 1_u64;
        while content.len() < 300_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            content.extend_from_slice(&state.to_le_bytes()[3..]);
        }
        let path = from.store.add_text("t", &content, &BTreeSet::new()).unwrap();
        let known = from.store.require(&path).unwrap();
        from.store.register(&[PathInfo { content_address: None, ..known }]).unwrap();
        let directory = from.path("cache-dir");
        let options = ExportOptions { compression, keys: &[key()], ..ExportOptions::default() };
        export(&*from.store, std::slice::from_ref(&path), &Directory::new(&directory), &options, &Silent).unwrap();
        let mut files = HashMap::new();
        read_all(&directory, "", &mut files);
        Self { path, files: Arc::new(files) }
    }

    fn narinfo(&self) -> (String, String) {
        let name = format!("/{}.narinfo", self.path.hash_part());
        let text = String::from_utf8(self.files[&name].clone()).unwrap();
        (name, text)
    }

    /// The same with another narinfo.
    fn saying(&self, text: &str) -> Self {
        let mut files = (*self.files).clone();
        files.insert(self.narinfo().0, text.into());
        Self { path: self.path.clone(), files: Arc::new(files) }
    }

    fn answer(&self, request: &Request) -> Reply {
        match self.files.get(request.path()) {
            Some(body) => Reply::ok(body.clone()),
            None => Reply::status("404 Not Found"),
        }
    }

    fn serve(&self) -> Server {
        let files = self.clone();
        Server::start(move |request| files.answer(request))
    }

    /// A server that answers a request for the NAR in its own way.
    fn serve_nar(&self, nar: impl Fn(&Request, &[u8]) -> Reply + Send + Sync + 'static) -> Server {
        let files = self.clone();
        Server::start(move |request| match request.path().starts_with("/nar/") {
            true => nar(request, files.files.get(request.path()).map_or(&[], Vec::as_slice)),
            false => files.answer(request),
        })
    }
}

fn read_all(directory: &Path, prefix: &str, files: &mut HashMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
        match entry.path().is_dir() {
            true => read_all(&entry.path(), &name, files),
            false => drop(files.insert(name, std::fs::read(entry.path()).unwrap())),
        }
    }
}

fn network() -> NetworkSettings {
    NetworkSettings { stall_timeout: Duration::from_millis(500), attempts: 3, ..NetworkSettings::default() }
}

fn settings(network: NetworkSettings) -> CacheSettings {
    CacheSettings { network: Network::new(network), ..CacheSettings::default() }
}

fn substituters(address: &str, settings: &CacheSettings, lookups: Option<Arc<Lookups>>) -> Substituters {
    let options = CacheOptions { keys: Some([key().public_key()].into()), lookups, ..CacheOptions::default() };
    Substituters::new(vec![BinaryCache::new(open_cache(address, settings).unwrap().transport, options)])
}

/// Takes the object into a new store, which must be sound afterwards whatever happens.
fn take_from(address: &str, path: &StorePath, settings: &CacheSettings) -> Result<(), CacheError> {
    let to = Fixture::new();
    let taken = substituters(address, settings, None).take([path.clone()], &*to.store, &Silent);
    let problems = to.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(to.store.is_valid(path).unwrap(), taken.is_ok());
    let staging = to.store.state_dir().join("wharf-staging");
    for directory in std::fs::read_dir(staging).unwrap() {
        assert_eq!(std::fs::read_dir(directory.unwrap().path()).unwrap().count(), 0, "something is left over");
    }
    taken.map(drop)
}

/// The cache fails, and its error says `reason`, which object or file, and which server.
fn fails(server: &Server, path: &StorePath, reason: &str) {
    let error = take_from(&server.address, path, &settings(network())).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}\nlacks {reason}");
    assert!(error.contains(&server.address), "{error}");
    assert!(error.contains(path.hash_part()) || error.contains("nar/") || error.contains("nix-cache-info"), "{error}");
}

#[test]
fn every_compression_comes_over_the_network() {
    for compression in Compression::ALL {
        let files = Files::new(compression);
        let server = files.serve();
        take_from(&server.address, &files.path, &settings(network())).unwrap();
        assert_eq!(server.requests().len(), 3, "{compression:?}");
    }
}

#[test]
fn answers_are_kept_for_the_next_run() {
    let files = Files::new(Compression::Zstd);
    let server = files.serve();
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(network());
    let missing = nix_formats::store_path::text_path("missing", b"", []).unwrap();
    for _ in 0..2 {
        let lookups = Arc::new(Lookups::new(&dir.path().join("answers.sqlite"), Lifetimes::default()));
        let caches = substituters(&server.address, &settings, Some(lookups));
        assert!(caches.find(&files.path, true, &Silent).is_some());
        assert!(caches.find(&missing, true, &Silent).is_none());
        assert!(caches.find(&missing, true, &Silent).is_none());
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn an_old_answer_is_asked_anew_when_the_archive_is_gone() {
    let old = Files::new(Compression::Xz);
    let new = Files::new(Compression::Zstd);
    let current = Arc::new(Mutex::new(old.clone()));
    let served = Arc::clone(&current);
    let server = Server::start(move |request| served.lock().unwrap().answer(request));
    let to = Fixture::new();
    let lookups = Arc::new(Lookups::new(&to.path("answers.sqlite"), Lifetimes::default()));
    let caches = substituters(&server.address, &settings(network()), Some(lookups));
    assert!(caches.find(&old.path, true, &Silent).is_some());
    *current.lock().unwrap() = new;
    assert_eq!(caches.take([old.path.clone()], &*to.store, &Silent).unwrap().len(), 1);
}

#[test]
fn who_asks_is_told_to_the_cache_s_own_host_only() {
    let files = Files::new(Compression::None);
    let elsewhere = files.serve();
    let (other, inner) = (elsewhere.address.clone(), files.clone());
    let server = Server::start(move |request| match (request.header("authorization"), request.path()) {
        (None, _) => Reply::status("401 Unauthorized"),
        (_, path) if path.starts_with("/nar/") => Reply::redirect(&format!("{other}{path}")),
        (_, path) if path.ends_with(".narinfo") && !path.starts_with("/moved/") => {
            Reply::redirect(&path.replace("/", "/moved/"))
        }
        (_, path) => match inner.files.get(&path.replace("/moved/", "/")) {
            Some(body) => Reply::ok(body.clone()),
            None => Reply::status("404 Not Found"),
        },
    });
    // Two names of this machine, so that the hosts differ.
    let named = server.address.replace("127.0.0.1", "localhost");
    let netrc = Netrc::parse("machine localhost login me password secret\nmachine 127.0.0.1 login me password secret");
    let with_netrc = settings(NetworkSettings { netrc, ..network() });
    let tokens = Tokens(BTreeMap::from([("localhost".to_owned(), "t0ken".to_owned())]));
    let with_token = CacheSettings { tokens, ..settings(network()) };
    let with_user = named.replace("http://", "http://me:secret@");
    let basic = "Basic bWU6c2VjcmV0";
    for (address, settings, said) in
        [(&named, &with_netrc, basic), (&named, &with_token, "Bearer t0ken"), (&with_user, &settings(network()), basic)]
    {
        take_from(address, &files.path, settings).unwrap();
        let asked = server.requests();
        assert!(asked.iter().rev().take(4).all(|request| request.header("authorization") == Some(said)), "{asked:?}");
    }
    assert_eq!(elsewhere.requests().len(), 3);
    assert!(elsewhere.requests().iter().all(|request| request.header("authorization").is_none()));
    let error = take_from(&named, &files.path, &settings(network())).unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("netrc"), "{error}");
}

#[test]
fn redirects_to_other_protocols_and_in_circles_are_refused() {
    let files = Files::new(Compression::None);
    for (target, reason) in [
        ("file:///etc/passwd", "redirects to 'file:///etc/passwd', which is not safe"),
        ("ftp://localhost/x", "not safe"),
        ("http://", "no address"),
        ("/nar/again", "more than 10 times"),
    ] {
        fails(&files.serve_nar(move |_, _| Reply::redirect(target)), &files.path, reason);
    }
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let files = Files::new(Compression::Zstd);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counter, inner) = (Arc::clone(&asked), files.clone());
    let server = Server::start(move |request| match counter.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Whole("429 Too Many Requests", vec![("retry-after", "1".to_owned())], Vec::new()),
        2 => Reply::status("503 Service Unavailable"),
        4 => Reply::Reset,
        _ => inner.answer(request),
    });
    let started = Instant::now();
    take_from(&server.address, &files.path, &settings(network())).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}

#[test]
fn servers_that_fail_are_named_and_then_left_alone() {
    let files = Files::new(Compression::None);
    fails(&Server::start(|_| Reply::status("500 Internal Server Error")), &files.path, "500");
    fails(&Server::start(|_| Reply::status("403 Forbidden")), &files.path, "403");
    fails(&Server::start(|_| Reply::Reset), &files.path, "nix-cache-info");
    fails(&files.serve_nar(|_, _| Reply::status("404 Not Found")), &files.path, "nar/");
    fails(&files.serve_nar(|_, _| Reply::status("502 Bad Gateway")), &files.path, "502");
    // Nobody listens.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = take_from(&format!("http://{gone}"), &files.path, &settings(network())).unwrap_err().to_string();
    assert!(error.contains(&gone.to_string()) && error.contains("refused"), "{error}");

    let inner = files.clone();
    let server = Server::start(move |request| match request.path() {
        "/nix-cache-info" => inner.answer(request),
        _ => Reply::status("500 Internal Server Error"),
    });
    let caches = substituters(&server.address, &settings(network()), None);
    for number in 0..50 {
        let path = nix_formats::store_path::text_path(&format!("t{number}"), b"", []).unwrap();
        assert!(caches.find(&path, true, &Silent).is_none());
    }
    assert_eq!(server.requests().len(), 1 + 3);
}

#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let files = Files::new(Compression::None);
    let started = Instant::now();
    let quick = NetworkSettings { attempts: 1, ..network() };
    for server in [Server::start(|_| Reply::Hang), files.serve_nar(|_, _| Reply::Hang)] {
        let error = take_from(&server.address, &files.path, &settings(quick.clone())).unwrap_err().to_string();
        assert!(error.contains("time"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Answers with what is left from where the request says, once each answer has been cut.
fn cut_once(request: &Request, body: &[u8], tag: &str) -> Reply {
    let headers = vec![("etag", tag.to_owned())];
    match request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')) {
        None => Reply::Cut(headers, body.to_vec(), body.len() / 2),
        Some(from) => {
            let from: usize = from.parse().unwrap();
            assert_eq!(request.header("if-range"), Some("\"v1\""));
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            let headers = [headers, vec![("content-range", range)]].concat();
            Reply::Whole("206 Partial Content", headers, body[from..].to_vec())
        }
    }
}

#[test]
fn a_download_that_breaks_off_is_taken_up_where_it_did() {
    for compression in [Compression::None, Compression::Xz] {
        let files = Files::new(compression);
        let server = files.serve_nar(|request, body| cut_once(request, body, "\"v1\""));
        take_from(&server.address, &files.path, &settings(network())).unwrap();
        assert_eq!(server.count("/nar/"), 2);
        // One that knows no ranges sends everything again.
        let asked = AtomicUsize::new(0);
        let server = files.serve_nar(move |_, body| {
            let headers = vec![("etag", "\"v1\"".to_owned())];
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::Cut(headers, body.to_vec(), 100_000),
                _ => Reply::Whole("200 OK", headers, body.to_vec()),
            }
        });
        take_from(&server.address, &files.path, &settings(network())).unwrap();
    }
}

#[test]
fn what_cannot_be_taken_up_is_an_error() {
    let files = Files::new(Compression::None);
    // Nothing says whether the content is still the same.
    let server = files.serve_nar(|_, body| Reply::Cut(Vec::new(), body.to_vec(), 100_000));
    fails(&server, &files.path, "after 100000 bytes");
    assert_eq!(server.count("/nar/"), 1);
    // It has changed.
    let asked = AtomicUsize::new(0);
    let server = files.serve_nar(move |_, body| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let headers = vec![("etag", format!("\"v{number}\""))];
        if number == 0 { Reply::Cut(headers, body.to_vec(), 7) } else { Reply::Whole("200 OK", headers, body.to_vec()) }
    });
    fails(&server, &files.path, "changed while it was read");
    // It breaks off each time.
    let server = files.serve_nar(|_, body| Reply::Cut(vec![("etag", "\"v1\"".to_owned())], body.to_vec(), 10));
    fails(&server, &files.path, "after 10 bytes");
    assert_eq!(server.count("/nar/"), 3);
}

#[test]
fn a_cache_that_lies_is_found_out() {
    let files = Files::new(Compression::None);
    let (_, text) = files.narinfo();
    let info = NarInfo::parse(&text).unwrap();
    let says = |text: String, reason: &str| fails(&files.saying(&text).serve(), &files.path, reason);
    let other = "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-other";
    // What is not signed as it stands there is not believed.
    says(text.replace(&format!("NarSize: {}", info.nar_size), "NarSize: 8"), "not signed");
    says(text.replace("References: ", &format!("References: {other}")), "not signed");
    says(text.replace("Sig: test-1:", "Sig: test-2:"), "not signed");
    says(text.replace(files.path.base_name(), other), "its narinfo is that of");
    says(text.replace("References: ", "References: ../../etc"), "line 8");
    says(text.replace("NarHash: sha256:", "NarHash: sha256:x"), "malformed");
    says(text.replace("Compression: none", "Compression: rar"), "not supported");
    says(text.replace("Compression: none", "Compression: xz"), "cannot take");
    says(text.replace(&info.url, "../../../etc/passwd"), "leads out of the cache");
    says(text.replace(&info.url, "/etc/passwd"), "leads out of the cache");
    says(text.replace(&info.url, "file:///etc/passwd"), "");
    says(format!("{text}X: {}\n", "y".repeat(2_000_000)), "longer than");
    says("\u{0}\u{1}nonsense".to_owned(), "malformed");
    // Without signatures the content still has to be what it is said to be.
    let unsigned = |server: &Server, reason: &str| {
        let to = Fixture::new();
        let cache = open_cache(&server.address, &settings(network())).unwrap();
        let caches = Substituters::new(vec![BinaryCache::new(cache.transport, CacheOptions::default())]);
        let error = caches.take([files.path.clone()], &*to.store, &Silent).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&server.address), "{error}");
        assert!(to.store.all_paths().unwrap().is_empty());
    };
    let size = format!("NarSize: {}", info.nar_size);
    unsigned(&files.saying(&text.replace(&size, "NarSize: 4096")).serve(), "more than the specified 4096");
    unsigned(&files.saying(&text.replace(&size, "NarSize: 9999999")).serve(), "size mismatch");
    unsigned(
        &files.saying(&text.replace("References: ", &format!("References: {other}"))).serve(),
        "no binary cache has",
    );
    let claim = format!("CA: fixed:r:sha256:{}\n", info.nar_hash.to_nix32());
    unsigned(&files.saying(&(text.clone() + &claim)).serve(), "does not follow from its content address");
    let server = files.serve_nar(|_, body| {
        let mut changed = body.to_vec();
        changed[1000] ^= 1;
        Reply::ok(changed)
    });
    unsigned(&server, "hash mismatch");
    fails(&server, &files.path, "hash mismatch");
}

#[test]
fn a_bomb_is_stopped_at_the_size_that_was_announced() {
    let files = Files::new(Compression::None);
    let (_, text) = files.narinfo();
    let bomb = zstd::encode_all(std::io::repeat(0).take(1 << 30), 1).unwrap();
    assert!(bomb.len() < 200_000);
    let saying = files.saying(&text.replace("Compression: none", "Compression: zstd"));
    let server = saying.serve_nar(move |_, _| Reply::ok(bomb.clone()));
    fails(&server, &files.path, "cannot take");
}

#[test]
fn what_a_server_encodes_on_the_way_is_decoded() {
    let files = Files::new(Compression::None);
    let inner = files.clone();
    let server = Server::start(move |request| {
        let body = zstd::encode_all(&inner.files[request.path()][..], 1).unwrap();
        Reply::Whole("200 OK", vec![("content-encoding", "zstd".to_owned())], body)
    });
    take_from(&server.address, &files.path, &settings(network())).unwrap();
}

#[test]
fn object_storage_is_read_and_written_with_signed_addresses() {
    let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&objects);
    let server = Server::start(move |request| {
        if !request.target.contains("X-Amz-Signature=") || request.header("authorization").is_some() {
            return Reply::status("400 Bad Request");
        }
        let mut objects = kept.lock().unwrap();
        match request.method.as_str() {
            "PUT" => {
                objects.insert(request.path().to_owned(), request.body.clone());
                Reply::ok("")
            }
            // Who may not list a bucket hears this of what is not there.
            _ => objects.get(request.path()).map_or(Reply::status("403 Forbidden"), |body| Reply::ok(body.clone())),
        }
    });
    let aws = Aws { keys: Some(("AKIA".to_owned(), "hush".to_owned(), None)), ..Aws::default() };
    let settings = CacheSettings { aws, ..settings(network()) };
    let host = server.address.trim_start_matches("http://");
    let address = format!("s3://bucket/prefix?endpoint={host}&scheme=http&region=eu-central-1");

    let from = Fixture::new();
    let path = from.store.add_text("t", b"text", &BTreeSet::new()).unwrap();
    let cache = open_cache(&address, &settings).unwrap();
    let paths = std::slice::from_ref(&path);
    let error = export(&*from.store, paths, &*cache.transport, &ExportOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("403") && !error.to_string().contains("Signature"), "{error}");
    objects.lock().unwrap().insert("/bucket/prefix/nix-cache-info".to_owned(), b"StoreDir: /nix/store\n".to_vec());
    let written = export(&*from.store, paths, &*cache.transport, &ExportOptions::default(), &Silent).unwrap();
    assert_eq!(written, paths);
    assert!(objects.lock().unwrap().keys().any(|key| key.starts_with("/bucket/prefix/nar/")));
    take_from(&address, &path, &settings).unwrap();
    for compression in Compression::ALL {
        let path = from.store.add_text(compression.name(), b"text", &BTreeSet::new()).unwrap();
        let options = ExportOptions { compression, ..ExportOptions::default() };
        export(&*from.store, std::slice::from_ref(&path), &*cache.transport, &options, &Silent).unwrap();
        take_from(&address, &path, &settings).unwrap();
    }
}

#[test]
fn the_cache_with_the_lowest_priority_is_asked_first() {
    let files = Files::new(Compression::None);
    let with_priority = |number: u32| {
        let info = format!("StoreDir: /nix/store\nPriority: {number}\n").into_bytes();
        let mut changed = (*files.files).clone();
        changed.insert("/nix-cache-info".to_owned(), info);
        Files { path: files.path.clone(), files: Arc::new(changed) }.serve()
    };
    let (late, early) = (with_priority(40), with_priority(20));
    let settings = settings(network());
    let take = |addresses: &[&str]| {
        let to = Fixture::new();
        let open = |address: &&str| {
            let cache = open_cache(address, &settings).unwrap();
            let keys = Some([key().public_key()].into());
            BinaryCache::new(
                cache.transport,
                CacheOptions { keys, priority: cache.priority, ..CacheOptions::default() },
            )
        };
        let caches = Substituters::new(addresses.iter().map(open).collect());
        caches.take([files.path.clone()], &*to.store, &Silent).unwrap();
    };
    take(&[&late.address, &early.address]);
    assert_eq!((late.count("/nar/"), early.count("/nar/")), (0, 1));
    // What an address says counts more than what the cache does.
    take(&[&format!("{}?priority=10", late.address), &early.address]);
    assert_eq!((late.count("/nar/"), early.count("/nar/")), (1, 1));
    // One that comes to nothing is made up for by the next.
    let gone = "http://127.0.0.1:1?priority=1";
    take(&[gone, &late.address, &early.address]);
    assert_eq!(early.count("/nar/"), 2);
}

#[test]
fn a_server_that_takes_uploads_is_filled() {
    let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&objects);
    let server = Server::start(move |request| {
        let mut objects = kept.lock().unwrap();
        match request.method.as_str() {
            "PUT" => {
                objects.insert(request.path().to_owned(), request.body.clone());
                Reply::status("201 Created")
            }
            _ => objects.get(request.path()).map_or(Reply::status("404 Not Found"), |body| Reply::ok(body.clone())),
        }
    });
    let from = Fixture::new();
    let path = from.store.add_text("t", b"text", &BTreeSet::new()).unwrap();
    let cache = open_cache(&server.address, &settings(network())).unwrap();
    let paths = std::slice::from_ref(&path);
    for expected in [1, 0] {
        let written = export(&*from.store, paths, &*cache.transport, &ExportOptions::default(), &Silent).unwrap();
        assert_eq!(written.len(), expected);
    }
    take_from(&server.address, &path, &settings(network())).unwrap();
    let closed = Files::new(Compression::None).serve_nar(|_, _| Reply::status("405 Method Not Allowed"));
    let cache = open_cache(&closed.address, &settings(network())).unwrap();
    let error = export(&*from.store, paths, &*cache.transport, &ExportOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains(&closed.address), "{error}");
}
