//! Repositories on other machines: real git servers on loopback, compared with what real Nix makes of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fetch::{FetchError, Fetcher, GitProgram, Lifetime, Settings};
use nix_formats::flake_ref::{Attr, Attrs, FlakeRef};
use serde_json::{Value, json};
use store::Store;
use store::progress::Silent;

use crate::server::{Reply, Request, Server};
use crate::{Fixture, git, has_peer, newer_nix, nix};

/// Serves the repositories below a directory as git's own CGI program does.
fn http_backend(root: &Path, password: Option<&'static str>) -> Server {
    let root = root.to_owned();
    Server::start(move |request| match password {
        Some(expected) if request.header("authorization") != Some(expected) => {
            Reply::Whole("401 Unauthorized", vec![("www-authenticate", "Basic realm=\"r\"".to_owned())], Vec::new())
        }
        _ => backend(&root, request),
    })
}

fn backend(root: &Path, request: &Request) -> Reply {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", request.header("git-protocol").unwrap_or_default())
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&output[..end]).unwrap();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let content_type = value("Content-Type: ").unwrap_or_default();
    let status = if value("Status: 404").is_some() { "404 Not Found" } else { "200 OK" };
    Reply::Whole(status, vec![("content-type", content_type)], output[end + 4..].to_vec())
}

/// A repository with two branches, tags, attributes, and submodules in submodules.
struct Repositories {
    /// Where they are.
    root: PathBuf,
    first: String,
    /// A commit that only the other branch has.
    other: String,
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), text).unwrap();
    }
    git(root, &["add", "."]);
}

fn commit(root: &Path, message: &str) -> String {
    git(root, &["commit", "--quiet", "-m", message]);
    git(root, &["rev-parse", "HEAD"])
}

fn repositories(fixture: &Fixture) -> Repositories {
    let root = fixture.path("served");
    let make = |name: &str| {
        let path = root.join(name);
        std::fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "--quiet"]);
        path
    };
    let (deep, library, main) = (make("deep"), make("library"), make("main"));
    write(&deep, &[("deepest", "deep\n")]);
    commit(&deep, "deep");
    write(&library, &[("code", "library\n"), (".gitattributes", "kept export-ignore\n"), ("kept", "kept\n")]);
    git(&library, &["submodule", "--quiet", "add", "../deep", "deep"]);
    commit(&library, "library");
    write(&main, &[("flake.nix", "{ outputs = { ... }: { }; }\n"), ("run", "#!/bin/sh\n"), ("docs/page", "text\n")]);
    std::fs::set_permissions(main.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // No pattern that means directories only: with one, Nix 2.34 gives one commit two trees, since libgit2 cannot tell what a
    // directory is in its mirror of a repository, but can in a working tree.
    let attributes = "docs export-ignore\nsub/*.tmp export-ignore\n/dir export-ignore\n";
    write(&main, &[(".gitattributes", attributes), ("sub/a.tmp", "x"), ("sub/sub/a.tmp", "y"), ("dir/file", "z")]);
    write(&main, &[("empty/.gitattributes", "* export-ignore\n"), ("empty/file", "")]);
    let first = commit(&main, "first");
    git(&main, &["tag", "v1"]);
    git(&main, &["tag", "-a", "annotated", "-m", "annotated"]);
    git(&main, &["checkout", "--quiet", "-b", "other"]);
    write(&main, &[("other", "other\n")]);
    let other = commit(&main, "other");
    git(&main, &["checkout", "--quiet", "main"]);
    git(&main, &["submodule", "--quiet", "add", "../library", "lib/library"]);
    commit(&main, "second");
    Repositories { root, first, other }
}

/// The same as `builtins.fetchGit` adds.
fn reference(attrs: &Value) -> FlakeRef {
    let mut attrs: Attrs = serde_json::from_value(attrs.clone()).unwrap();
    attrs.insert("type".to_owned(), "git".into());
    if attrs.get("submodules") != Some(&Attr::Bool(true)) {
        attrs.entry("exportIgnore".to_owned()).or_insert(true.into());
    }
    FlakeRef::from_attrs(attrs).unwrap()
}

fn fetched(fixture: &Fixture, attrs: &Value) -> BTreeMap<&'static str, Value> {
    let tree = fixture.fetcher.tree(&reference(attrs), "source").unwrap_or_else(|error| panic!("{attrs}: {error}"));
    tree.attributes(true).into_iter().map(|(name, value)| (name, serde_json::to_value(value).unwrap())).collect()
}

/// Compares what is known of each tree with what real Nix says.
fn compare(fixture: &Fixture, programs: impl IntoIterator<Item = String>, cases: &[Value]) {
    let all = Value::Array(cases.to_vec()).to_string().replace('\'', "\\'");
    let expression =
        format!("map (x: removeAttrs (builtins.fetchGit x) [ \"outPath\" ]) (builtins.fromJSON ''{all}'')");
    for program in programs {
        let theirs = nix(fixture, &program, &expression);
        for (case, theirs) in cases.iter().zip(theirs.as_array().unwrap()) {
            assert_eq!(&json!(fetched(fixture, case)), theirs, "{program}: {case}");
        }
    }
}

#[test]
fn nix_fetches_the_same_over_http() {
    if !has_peer("git") || !has_peer("nix-instantiate") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let server = http_backend(&repositories.root, None);
    let url = format!("{}/main", server.address);
    let both = || std::iter::once("nix-instantiate".to_owned()).chain(newer_nix());
    compare(
        &fixture,
        both(),
        &[
            json!({ "url": url, "ref": "main" }),
            json!({ "url": url, "ref": "other" }),
            json!({ "url": url, "ref": "refs/tags/v1" }),
            json!({ "url": url, "ref": "main", "rev": repositories.first }),
            json!({ "url": url, "rev": repositories.other, "allRefs": true }),
            json!({ "url": url, "ref": "main", "submodules": true }),
        ],
    );
    // Nix 2.8 makes archives with git, which changes line ends and fills in versions; it says a `revCount` of a shallow
    // clone, and knows neither of these.
    write(
        &repositories.root.join("main"),
        &[(".gitattributes", "*.crlf eol=crlf\nv export-subst\ndocs export-ignore\n")],
    );
    write(&repositories.root.join("main"), &[("a.crlf", "one\n"), ("v", "$Format:%H$"), ("big.bin", "x")]);
    commit(&repositories.root.join("main"), "third");
    // At another address, since Nix asks for a branch once an hour.
    let server = http_backend(&repositories.root, None);
    let url = format!("{}/main", server.address);
    compare(
        &fixture,
        newer_nix(),
        &[
            json!({ "url": url, "ref": "refs/heads/main" }),
            json!({ "url": url, "ref": "HEAD" }),
            // Nix 2.8 takes the tag for the commit.
            json!({ "url": url, "ref": "refs/tags/annotated" }),
            json!({ "url": format!("git+{url}"), "exportIgnore": false, "ref": "refs/heads/main" }),
            json!({ "url": url, "ref": "other", "shallow": true }),
            json!({ "url": url, "rev": repositories.other, "shallow": true }),
        ],
    );
}

#[test]
fn nix_fetches_the_same_from_this_machine() {
    if !has_peer("git") || !has_peer("nix-instantiate") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let url = repositories.root.join("main").display().to_string();
    let both = std::iter::once("nix-instantiate".to_owned()).chain(newer_nix());
    compare(
        &fixture,
        both,
        &[
            json!({ "url": url, "ref": "main" }),
            json!({ "url": url, "rev": repositories.first }),
            json!({ "url": url, "ref": "main", "submodules": true }),
        ],
    );
    git(&repositories.root.join("main"), &["submodule", "--quiet", "update", "--init", "--recursive"]);
    // Nix 2.8 leaves nothing out of a working tree.
    compare(&fixture, newer_nix(), &[json!({ "url": url }), json!({ "url": url, "submodules": true })]);
    let main = repositories.root.join("main");
    write(&main, &[("docs/page", "changed\n"), ("run", "changed\n"), ("dir/new", "new\n"), ("new", "new\n")]);
    std::fs::write(main.join("lib/library/code"), "changed\n").unwrap();
    let cases = [json!({ "url": url }), json!({ "url": url, "submodules": true })];
    compare(&fixture, newer_nix(), &cases);
    let dirty = fetched(&fixture, &cases[1]);
    assert!(dirty["dirtyRev"].as_str().unwrap().ends_with("-dirty"));
}

#[test]
fn what_is_known_is_not_asked_for_again() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let server = http_backend(&repositories.root, None);
    let url = format!("git+{}/main", server.address);
    let tree = fixture.tree(&url);
    assert_eq!(tree.locked.text("ref"), Some("refs/heads/main"));
    assert_eq!(tree.locked.number("revCount"), Some(2));
    let asked = server.requests().len();
    assert_eq!(fixture.tree(&url), tree);
    let commit = fixture.tree(&format!("{url}?rev={}", repositories.first));
    assert_eq!(commit.locked.text("rev"), Some(repositories.first.as_str()));
    assert_eq!(server.requests().len(), asked, "all of it was here");
    // A branch that is older than it may be is asked for, a commit is not.
    write(&repositories.root.join("main"), &[("new", "new\n")]);
    let newest = self::commit(&repositories.root.join("main"), "third");
    let with = |settings: Settings| {
        let settings = Settings { cache: fixture.path("cache"), ..settings };
        Fetcher::new(fixture.store.clone(), Arc::new(Silent), settings)
    };
    let eager = with(Settings { lifetime: Lifetime(0), ..Settings::default() });
    let parsed = FlakeRef::parse(&url).unwrap();
    assert_eq!(eager.tree(&parsed, "source").unwrap().locked.text("rev"), Some(newest.as_str()));
    // Neither the network nor the program is needed for what is there.
    let git = GitProgram { program: "/does/not/exist".into(), ..GitProgram::default() };
    let settings = || Settings { lifetime: Lifetime(0), git: git.clone(), ..Settings::default() };
    let offline = with(Settings { offline: true, ..settings() });
    assert_eq!(offline.tree(&parsed, "source").unwrap().locked.text("rev"), Some(newest.as_str()));
    let missing = FlakeRef::parse(&format!("{url}?rev={}", "0123456789".repeat(4))).unwrap();
    assert!(matches!(offline.tree(&missing, "source"), Err(FetchError::Offline { .. })));
    let without = with(settings());
    let by_hash = FlakeRef::parse(&format!("{url}?rev={newest}")).unwrap();
    assert!(without.tree(&by_hash, "source").is_ok());
    let error = without.tree(&missing, "source").unwrap_err();
    assert!(matches!(error, FetchError::NoGit { .. }), "{error}");
    assert!(error.to_string().contains("install git"), "{error}");
}

#[test]
fn a_branch_that_cannot_be_asked_for_is_as_it_was() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::with(Settings { lifetime: Lifetime(0), ..Settings::default() });
    let repositories = repositories(&fixture);
    let server = http_backend(&repositories.root, None);
    let url = format!("git+{}/main?ref=other", server.address);
    let tree = fixture.tree(&url);
    std::fs::rename(repositories.root.join("main"), repositories.root.join("gone")).unwrap();
    assert_eq!(fixture.tree(&url), tree);
    for (query, reason) in [("", "not found"), ("?ref=nowhere", "nowhere")] {
        let url = format!("git+{}/main{query}", server.address);
        let error = fixture.fetcher.tree(&FlakeRef::parse(&url).unwrap(), "source").unwrap_err();
        assert!(matches!(error, FetchError::GitFetch { .. }), "{error}");
        let _ = reason;
    }
}

#[test]
fn names_and_hashes_that_are_not_there_are_explained() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let server = http_backend(&repositories.root, None);
    for (query, reason) in [
        ("ref=v1", "refs/tags/v1"),
        (&format!("rev={}", "0123456789".repeat(4)), "allRefs"),
        ("ref=refs/heads/gone", "refs/heads/gone"),
    ] {
        let url = format!("git+{}/main?{query}", server.address);
        let error = fixture.fetcher.tree(&FlakeRef::parse(&url).unwrap(), "source").unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    for url in ["git+ext://x/y", "git+ftp://e.org/x"] {
        let error = fixture.fetcher.tree(&FlakeRef::parse(url).unwrap(), "source").unwrap_err();
        assert!(matches!(error, FetchError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn passwords_reach_the_server_and_nobody_else() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    // `me:hush` in base 64.
    let server = http_backend(&repositories.root, Some("Basic bWU6aHVzaA=="));
    let host = server.address.strip_prefix("http://").unwrap();
    let tree = fixture.tree(&format!("git+http://me:hush@{host}/main"));
    assert!(tree.locked.text("rev").is_some());
    let wrong = FlakeRef::parse(&format!("git+http://me:wr0ng@{host}/main?ref=other")).unwrap();
    let error = fixture.fetcher.tree(&wrong, "source").unwrap_err().to_string();
    assert!(!error.contains("wr0ng"), "{error}");
    let nobody = FlakeRef::parse(&format!("git+http://{host}/library")).unwrap();
    let error = fixture.fetcher.tree(&nobody, "source").unwrap_err().to_string();
    assert!(error.contains("credential helper"), "{error}");
    // Nothing of it is kept.
    let kept = Command::new("grep").args(["-rl", "hush"]).arg(fixture.path("cache")).output().unwrap();
    assert!(kept.stdout.is_empty(), "{}", String::from_utf8_lossy(&kept.stdout));
}

#[test]
fn a_repository_elsewhere_names_no_submodule_here() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let main = repositories.root.join("main");
    let secret = repositories.root.join("library");
    let modules = format!("[submodule \"lib/library\"]\n\tpath = lib/library\n\turl = {}\n", secret.display());
    write(&main, &[(".gitmodules", &modules)]);
    commit(&main, "points here");
    let server = http_backend(&repositories.root, None);
    let url = format!("git+{}/main?submodules=1", server.address);
    let error = fixture.fetcher.tree(&FlakeRef::parse(&url).unwrap(), "source").unwrap_err();
    assert!(error.to_string().contains("may not name one on this machine"), "{error}");
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(port: u16) {
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An ssh server for this user alone, and a git that reaches it.
fn ssh_server(fixture: &Fixture) -> (Running, u16, GitProgram) {
    let directory = fixture.path("ssh");
    std::fs::create_dir_all(&directory).unwrap();
    for key in ["host", "user"] {
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(directory.join(key))
            .status()
            .unwrap();
        assert!(status.success());
    }
    std::fs::copy(directory.join("user.pub"), directory.join("authorized")).unwrap();
    let port = free_port();
    let shown = directory.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile {shown}/pid\n"
    );
    std::fs::write(directory.join("config"), config).unwrap();
    // Where it runs as root it wants this directory, which only its service makes.
    let _ = std::fs::create_dir_all("/run/sshd");
    let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    let child = Command::new(sshd)
        .args(["-D", "-e", "-f"])
        .arg(directory.join("config"))
        .stderr(std::fs::File::create(directory.join("log")).unwrap())
        .spawn()
        .unwrap();
    let running = Running(child);
    wait_for(port);
    let script = directory.join("git");
    let text = format!(
        "#!/bin/sh\nexport GIT_SSH_COMMAND='ssh -F none -oBatchMode=yes -oStrictHostKeyChecking=no \
         -oUserKnownHostsFile={shown}/known -i {shown}/user'\nexec git \"$@\"\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (running, port, GitProgram { program: script, interactive: false })
}

#[test]
fn repositories_are_reached_by_ssh() {
    if !has_peer("git") || !has_program("/usr/sbin/sshd") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let (_running, port, git) = ssh_server(&fixture);
    let settings = Settings { cache: fixture.path("ssh-cache"), git, ..Settings::default() };
    let fetcher = Fetcher::new(fixture.store.clone(), Arc::new(Silent), settings);
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let place = repositories.root.join("main");
    let text = format!("git+ssh://{}@127.0.0.1:{port}{}?submodules=1", user.trim(), place.display());
    let tree = fetcher.tree(&FlakeRef::parse(&text).unwrap(), "source").unwrap();
    let local = fixture.tree(&format!("git+file://{}?ref=main&submodules=1", place.display()));
    assert_eq!((&tree.path, tree.locked.text("rev")), (&local.path, local.locked.text("rev")));
    let refused = FlakeRef::parse(&format!("git+ssh://nobody-here@127.0.0.1:{port}/x")).unwrap();
    let error = fetcher.tree(&refused, "source").unwrap_err().to_string();
    assert!(error.contains("Permission denied") && error.contains("an agent holds"), "{error}");
}

#[test]
fn the_git_protocol_is_spoken() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let repositories = repositories(&fixture);
    let port = free_port();
    // Under git's own name it would start another process, which would stay.
    let programs = Command::new("git").arg("--exec-path").output().unwrap().stdout;
    let daemon = Path::new(String::from_utf8(programs).unwrap().trim()).join("git-daemon");
    let child = Command::new(daemon)
        .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", repositories.root.display()))
        .arg(&repositories.root)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(child);
    wait_for(port);
    let tree = fixture.tree(&format!("git://127.0.0.1:{port}/main?ref=main"));
    let local = fixture.tree(&format!("git+file://{}?ref=main", repositories.root.join("main").display()));
    assert_eq!(tree.path, local.path);
}

/// Whether the program is there; if not, says so, or fails where all peers must be there.
fn has_program(path: &str) -> bool {
    if Path::new(path).exists() {
        return true;
    }
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{path} is not installed");
    println!("skipped: needs {path}");
    false
}

/// A repository with large files, the contents of which a server has.
fn large_files(fixture: &Fixture) -> (PathBuf, Server, &'static str) {
    let content = "a large file\n";
    let oid = "bb9f8b6bfc1f21e9915abe2b08ddd222b3aaf691c70247316243566576ea7930";
    assert_eq!(nix_formats::hash::Hash::of(nix_formats::hash::HashAlgo::Sha256, content.as_bytes()).to_hex(), oid);
    let root = fixture.path("served");
    let main = root.join("large");
    std::fs::create_dir_all(&main).unwrap();
    git(&main, &["init", "--quiet"]);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", content.len());
    write(&main, &[(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"), ("a.bin", &pointer)]);
    write(&main, &[("sub/b.bin", &pointer), ("pointer.txt", &pointer), ("c.bin", "no pointer\n")]);
    commit(&main, "large");
    let served = root.clone();
    let server = Server::start(move |request| match request.path() {
        // Nix 2.34 asks at the second.
        "/large.git/info/lfs/objects/batch" | "/large/info/lfs/objects/batch" => {
            assert_eq!(request.header("accept"), Some("application/vnd.git-lfs+json"));
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let host = request.header("host").unwrap();
            let objects: Vec<Value> = asked["objects"]
                .as_array()
                .unwrap()
                .iter()
                .map(|object| {
                    let oid = object["oid"].as_str().unwrap();
                    let download =
                        json!({ "href": format!("http://{host}/content/{oid}"), "header": { "x-key": "k" } });
                    json!({ "oid": oid, "size": object["size"], "actions": { "download": download } })
                })
                .collect();
            Reply::ok(json!({ "objects": objects }).to_string())
        }
        path if path.starts_with("/content/") => Reply::ok(content),
        _ => backend(&served, request),
    });
    (main, server, content)
}

#[test]
fn large_files_come_from_their_server() {
    if !has_peer("git") || !has_peer("nix-instantiate") {
        return;
    }
    let fixture = Fixture::new();
    let (main, server, content) = large_files(&fixture);
    let url = format!("{}/large", server.address);
    let tree = fixture.tree(&format!("git+{url}?lfs=1"));
    let file = |name: &str| std::fs::read_to_string(fixture.store.real_path(&tree.path).join(name)).unwrap();
    assert_eq!((file("a.bin").as_str(), file("sub/b.bin").as_str()), (content, content));
    assert!(file("pointer.txt").starts_with("version ") && file("c.bin") == "no pointer\n");
    assert_eq!(server.count("/content/"), 1, "one content is downloaded once");
    let downloads = server.requests().into_iter().filter(|request| request.path().starts_with("/content/"));
    assert!(downloads.into_iter().all(|request| request.header("x-key") == Some("k")));
    let without = fixture.tree(&format!("git+{url}"));
    assert_ne!(without.path, tree.path);
    compare(
        &fixture,
        newer_nix(),
        &[json!({ "url": url, "lfs": true, "ref": "main" }), json!({ "url": url, "ref": "main" })],
    );
    // A repository on this machine has the contents itself.
    let place = main.join(".git/lfs/objects/bb/9f");
    std::fs::create_dir_all(&place).unwrap();
    let cached = fixture.path("cache/lfs/bb/9f");
    let oid = std::fs::read_dir(&cached).unwrap().next().unwrap().unwrap();
    std::fs::rename(oid.path(), place.join(oid.file_name())).unwrap();
    let other = Fixture::new();
    assert_eq!(other.tree(&format!("git+file://{}?lfs=1", main.display())).path, tree.path);
    // What is not what the pointer says is not taken.
    std::fs::write(place.join(oid.file_name()), "another file\n").unwrap();
    let wrong = FlakeRef::parse(&format!("git+file://{}?lfs=1&ref=main", main.display())).unwrap();
    let error = Fixture::new().fetcher.tree(&wrong, "source").unwrap_err();
    assert!(error.to_string().contains("does not have the hash"), "{error}");
}
