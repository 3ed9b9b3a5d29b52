//! `wharf store`: by itself, and with real Nix on the other side of a binary cache.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{missing, text, wharf};

/// A home directory with a tree to be added.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::write(tree.join("bin/hello"), "#!/bin/sh\necho hello\n").unwrap();
        fs::write(tree.join("same"), "x".repeat(9000)).unwrap();
        fs::write(tree.join("too"), "x".repeat(9000)).unwrap();
        std::os::unix::fs::symlink("bin/hello", tree.join("link")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        wharf(self.dir.path()).args(arguments).current_dir(self.dir.path()).output().unwrap()
    }

    /// What a command that succeeds prints.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        stdout.trim_end().to_owned()
    }

    /// What a command that fails says.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        text(&output).1
    }

    fn nix(&self, arguments: &[&str]) -> String {
        let output = Command::new("nix")
            .args(["--extra-experimental-features", "nix-command"])
            .args(arguments)
            .env("HOME", self.dir.path())
            .env_remove("NIX_REMOTE")
            .output()
            .unwrap();
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "nix {arguments:?}: {stderr}");
        stdout
    }
}

/// Serves a directory on loopback; the address.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let directory = directory.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &directory));
        }
    });
    address
}

fn answer(mut stream: TcpStream, directory: &Path) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let (method, target) = request.split_once(' ').unwrap();
    let name = target.split(' ').next().unwrap().trim_start_matches('/');
    let (status, body) = match fs::read(directory.join(name)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    if method != "HEAD" {
        let _ = stream.write_all(&body);
    }
}

fn has_nix() -> bool {
    let there = Command::new("nix").arg("--version").output().is_ok();
    if !there {
        missing("nix");
    }
    there
}

#[test]
fn nix_substitutes_from_a_cache_that_wharf_has_filled() {
    if !has_nix() {
        return;
    }
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    let public = home.ok(&["store", "key", "generate", "test-1", "secret"]);
    assert_eq!(home.ok(&["store", "key", "public", "secret"]), public);
    for compression in ["xz", "zstd", "bzip2", "none", "gzip", "br"] {
        let cache = home.path(&format!("cache-{compression}"));
        let address = format!("file://{}?compression={compression}", cache.display());
        home.ok(&["store", "push", &address, "--secret-key", "secret", &path]);
        let root = home.path(&format!("root-{compression}"));
        for from in [format!("file://{}", cache.display()), serve(cache)] {
            let keys = ["--option", "trusted-public-keys", &public];
            let copy = ["copy", "--from", &from, "--to", root.to_str().unwrap(), &path];
            home.nix(&[&copy[..], &keys].concat());
            home.nix(&["store", "verify", "--store", root.to_str().unwrap(), "--all"]);
            assert_eq!(fs::read_to_string(root.join(&path[1..]).join("link")).unwrap(), "#!/bin/sh\necho hello\n");
            home.nix(&["store", "delete", "--store", root.to_str().unwrap(), &path]);
        }
    }
}

#[test]
fn settings_of_nix_may_be_set_on_the_command_line() {
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    let public = home.ok(&["store", "key", "generate", "test-1", "secret"]);
    let from = format!("file://{}", home.path("cache").display());
    home.ok(&["store", "push", &from, "--secret-key", "secret", &path]);
    // Without its content address it needs a signature.
    let cache = home.path("cache");
    let info = cache.join(format!("{}.narinfo", &path["/nix/store/".len()..][..32]));
    let text_of = fs::read_to_string(&info).unwrap();
    fs::write(
        &info,
        text_of.lines().filter(|line| !line.starts_with("CA:")).map(|line| format!("{line}\n")).collect::<String>(),
    )
    .unwrap();
    let copy = ["store", "copy", "--from", &from, "--to", "other", &path];
    assert!(home.fails(&copy).contains("sign"));
    for options in [&["--option", "no-such-setting", "1"][..], &["--option", "restrict-eval", "true"]] {
        let error = home.fails(&[&copy[..], options].concat());
        assert!(error.contains("unknown setting") && error.contains("trusted-public-keys"), "{error}");
    }
    home.ok(&[&copy[..], &["--option", "extra-trusted-public-keys", &public]].concat());
    home.ok(&["store", "copy", "--from", &from, "--to", "third", "--option", "require-sigs", "false", &path]);
    // A build heeds them too.
    home.ok(&["store", "gc"]);
    let offered = ["--option", "substituters", &from, "--option", "trusted-public-keys", &public];
    let nothing = format!("builtins.readFile (builtins.storePath \"{path}\" + \"/bin/hello\")");
    assert!(!home.run(&["eval", "--impure", "--expr", &nothing]).status.success());
    let (_, stderr) = text(&home.run(&[&["eval", "--impure", "--expr", "1"][..], &offered].concat()));
    assert!(!stderr.contains("unknown setting"), "{stderr}");
    home.ok(&[&["eval", "--impure", "--expr", &nothing][..], &offered].concat());
}

/// A derivation with a link to itself as its source.
const LOOP: &str = "derivation { name = \"loop\"; system = \"x\"; builder = \"${./loop}\"; }";

#[test]
fn links_that_lead_in_a_circle_are_named_or_kept() {
    let home = Home::new();
    for (name, target) in [("loop", "loop"), ("a", "b"), ("b", "a")] {
        std::os::unix::fs::symlink(target, home.path(name)).unwrap();
    }
    for expression in
        ["import ./loop", "builtins.readFile ./a", "builtins.readDir ./b", "builtins.hashFile \"md5\" ./a"]
    {
        let error = home.fails(&["eval", "--impure", "--expr", expression]);
        assert!(error.contains("symbolic link") && error.contains(home.dir.path().to_str().unwrap()), "{error}");
    }
    // As objects they are what they are.
    assert!(home.fails(&["store", "add", "loop"]).contains("symbolic link"));
    assert!(home.ok(&["instantiate", "-E", LOOP]).ends_with("-loop.drv"));
    assert!(home.ok(&["eval", "--impure", "--expr", "builtins.pathExists ./a"]).contains("true"));
    home.ok(&["store", "verify", "--contents"]);
}

#[test]
fn a_transport_that_is_nearly_one_is_offered() {
    let home = Home::new();
    let error = home.fails(&["push", "dockr-daemon:web", "localhost:1/web"]);
    assert!(error.contains("did you mean docker-daemon:web?"), "{error}");
}

#[test]
fn wharf_substitutes_from_a_cache_that_nix_has_filled() {
    if !has_nix() {
        return;
    }
    let home = Home::new();
    let root = home.path("nix-root");
    let root = root.to_str().unwrap();
    let path = home.nix(&["store", "add-path", "--store", root, home.path("tree").to_str().unwrap()]);
    let path = path.trim();
    let public = home.ok(&["store", "key", "generate", "test-1", "secret"]);
    for compression in ["xz", "zstd"] {
        let cache = home.path(&format!("cache-{compression}"));
        let secret = home.path("secret");
        let to = format!("file://{}?compression={compression}&secret-key={}", cache.display(), secret.display());
        home.nix(&["copy", "--store", root, "--to", &to, path]);
        let address = serve(cache);
        let store = format!("into-{compression}");
        let copy = ["store", "copy", "--from", &address, "--to", &store, path];
        home.ok(&[&copy[..], &["--trusted-public-keys", &public]].concat());
        home.nix(&["store", "verify", "--store", home.path(&store).to_str().unwrap(), "--all", "--no-trust"]);
    }
}

#[test]
fn nothing_unsigned_is_copied_unless_asked_for() {
    let home = Home::new();
    // An object whose path does not follow from its content.
    let target = [
        "build",
        "--no-link",
        "-E",
        "derivation { name = \"d\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo hello > $out\" ]; }",
    ];
    let path = home.ok(&target);
    home.ok(&["store", "push", &format!("file://{}", home.path("cache").display()), &path]);
    let from = format!("file://{}", home.path("cache").display());
    let copy = ["store", "copy", "--from", &from, "--to", "other", &path];
    assert!(home.fails(&copy).contains("not signed by a trusted key"));
    let public = home.ok(&["store", "key", "generate", "k-1", "secret"]);
    home.ok(&["store", "sign", "--key", "secret", "--cache", &from, &path]);
    assert!(home.fails(&copy).contains("not signed by a trusted key"));
    home.ok(&[&copy[..], &["--extra-trusted-public-keys", &public]].concat());
    assert!(home.fails(&["store", "copy", "--from", "other", "--to", "third", &path]).contains("not signed"));
    home.ok(&["store", "copy", "--from", "other", "--to", "third", "--no-check-sigs", &path]);
    assert!(home.ok(&["--store", "third", "store", "path-info", "--sigs", &path]).contains("k-1:"));
    // The same cache in nix.conf: taken, not built.
    fs::create_dir_all(home.path(".config/nix")).unwrap();
    let conf = format!("substituters = {from}\ntrusted-public-keys = {public}\n");
    fs::write(home.path(".config/nix/nix.conf"), conf).unwrap();
    let built = home.run(&[&["--store", "fourth"], &target[..]].concat());
    assert!(built.status.success(), "{}", text(&built).1);
    let infos = home.ok(&["--store", "fourth", "store", "path-info", "--json", &path]);
    assert!(infos.contains("\"ultimate\":false"), "{infos}");
}

#[test]
fn a_damaged_object_is_found_and_replaced() {
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    let cache = format!("file://{}", home.path("cache").display());
    home.ok(&["store", "push", &cache, &path]);
    let real = PathBuf::from(home.ok(&["store", "real-path", &path]));
    fs::set_permissions(real.join("same"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(real.join("same"), "changed").unwrap();
    assert!(home.fails(&["store", "verify", "--contents"]).contains("wharf store repair"));
    assert!(home.fails(&["store", "repair", "--substituters", ""]).contains("no binary cache has"));
    assert_eq!(home.ok(&["store", "repair", "--substituters", &cache]), path);
    home.ok(&["store", "verify", "--contents"]);
}

#[test]
fn objects_are_looked_into() {
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    assert_eq!(home.ok(&["store", "ls", &path]), "./bin\n./link\n./same\n./too");
    assert!(home.ok(&["store", "ls", "-lR", &path]).contains("./link -> bin/hello"));
    assert_eq!(home.ok(&["store", "cat", &format!("{path}/bin/hello")]), "#!/bin/sh\necho hello");
    assert!(home.fails(&["store", "cat", &format!("{path}/link")]).contains("no regular file"));
    assert!(home.fails(&["store", "cat", &format!("{path}/link/../../x")]).contains("no directory"));
    let hash = home.ok(&["store", "hash", "tree"]);
    let info = home.ok(&["store", "path-info", "--json", "-S", &path]);
    assert!(info.contains(&hash) && info.contains("closureSize"), "{info}");
    assert!(home.ok(&["store", "path-info", "-sSh", &path]).contains("KiB"));
    assert_eq!(home.ok(&["store", "why-depends", &path, &path]), path);
    if has_nix() {
        assert_eq!(home.nix(&["hash", "path", home.path("tree").to_str().unwrap()]).trim(), hash);
        let flat =
            home.nix(&["hash", "file", "--type", "sha512", "--base32", home.path("tree/same").to_str().unwrap()]);
        let ours = ["store", "hash", "--flat", "--type", "sha512", "--format", "nix32", "tree/same"];
        assert_eq!(home.ok(&ours), flat.trim());
        let listed =
            home.nix(&["store", "ls", "-lR", "--store", home.path(".local/share/wharf").to_str().unwrap(), &path]);
        assert_eq!(home.ok(&["store", "ls", "-lR", &path]), listed.trim_end());
    }
}

#[test]
fn what_nobody_needs_goes_and_what_is_the_same_is_kept_once() {
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    home.ok(&["store", "optimise"]);
    let real = PathBuf::from(home.ok(&["store", "real-path", &path]));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(real.join("same").metadata().unwrap().ino(), real.join("too").metadata().unwrap().ino());
    assert_eq!(real.metadata().unwrap().mtime(), 1);
    home.ok(&["store", "verify", "--contents"]);
    assert_eq!(home.ok(&["store", "gc", "--dry-run"]), path);
    assert_eq!(home.ok(&["store", "gc", "--dry-run", "--keep-days", "1"]), "");
    assert_eq!(home.ok(&["store", "gc", "--dry-run", "--max-size", "1G"]), "");
    home.ok(&["store", "gc", "--max-size", "1k"]);
    assert_eq!(home.ok(&["store", "path-info"]), "");
    assert_eq!(fs::read_dir(real.parent().unwrap().join(".links")).unwrap().count(), 0);
}

/// A daemon of real Nix over a store of its own, ended when it is dropped.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn objects_go_to_other_stores_of_nix_through_their_daemons() {
    if !has_nix() {
        return;
    }
    let home = Home::new();
    let path = home.ok(&["store", "add", "tree"]);
    // `ssh` that runs the command on this machine, with a store of its own.
    let bin = home.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let root = home.path("far");
    let script = format!(
        "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nNIX_REMOTE='local?root={}' exec \"$@\"\n",
        root.display()
    );
    fs::write(bin.join("ssh"), script).unwrap();
    fs::set_permissions(bin.join("ssh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ssh = |arguments: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let output =
            wharf(home.dir.path()).args(arguments).env("PATH", path).current_dir(home.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output).1);
    };
    ssh(&["store", "copy", "--to", "ssh-ng://me@far.example.org", &path]);
    home.nix(&["store", "verify", "--store", root.to_str().unwrap(), "--all"]);
    ssh(&["store", "copy", "--from", "ssh-ng://far.example.org", "--to", "back", &path]);
    assert_eq!(home.ok(&["--store", "back", "store", "path-info"]), path);
    assert!(home.fails(&["store", "copy", "--to", "ssh-ng://-oProxyCommand=x", &path]).contains("names no host"));

    let socket = home.path("socket");
    let near = home.path("near");
    let remote = format!("local?root={}", near.display());
    // Two of a daemon's connections that make the store at once are in each other's way.
    let init = Command::new("nix-store").arg("--init").env("NIX_REMOTE", &remote).env("HOME", home.dir.path()).status();
    assert!(init.is_ok_and(|status| status.success()));
    let daemon = Command::new("nix-daemon")
        .env("NIX_REMOTE", &remote)
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .env("HOME", home.dir.path())
        .stderr(std::process::Stdio::null())
        .spawn();
    let _daemon = Daemon(daemon.unwrap());
    let started = std::time::Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(started.elapsed().as_secs() < 20, "nix-daemon does not listen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = wharf(home.dir.path())
        .args(["store", "copy", "--to", "daemon", &path])
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output).1);
    home.nix(&["store", "verify", "--store", near.to_str().unwrap(), "--all"]);
}

#[test]
fn builds_can_be_foreseen_checked_and_cut_short() {
    let home = Home::new();
    let expression = |script: &str| {
        format!(
            "derivation {{ name = \"d\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
             args = [ \"-c\" \"{script}\" ]; }}"
        )
    };
    let steady = expression("echo hello > $out");
    let build = ["build", "--no-link", "-E", &steady];
    let foreseen = home.ok(&[&build[..], &["--dry-run"]].concat());
    assert!(foreseen.ends_with("-d.drv"), "{foreseen}");
    let path = home.ok(&build);
    assert_eq!(home.ok(&[&build[..], &["--check"]].concat()), path);
    let cache = format!("file://{}", home.path("cache").display());
    home.ok(&["store", "push", &cache, &path]);
    let elsewhere = ["--store", "elsewhere", "--json", "build", "-E", &steady, "--dry-run", "--no-require-sigs"];
    let foreseen = home.ok(&[&elsewhere[..], &["--substituters", &cache]].concat());
    assert!(foreseen.contains("\"wouldBuild\":[]") && foreseen.contains(&path), "{foreseen}");
    assert!(foreseen.contains("\"narSize\":"), "{foreseen}");

    let unsteady = expression("read x < /proc/sys/kernel/random/uuid; echo $x > $out");
    home.ok(&["build", "--no-link", "-E", &unsteady]);
    let error = home.fails(&["build", "--no-link", "--check", "-E", &unsteady]);
    assert!(error.contains("not deterministic") && error.contains("from byte"), "{error}");
    let silent = expression("while :; do read -t 1 x < /dev/null; done");
    for limit in ["--timeout", "--max-silent-time"] {
        let error = home.fails(&["build", "--no-link", limit, "1", "-E", &silent]);
        assert!(error.contains("1 s") || error.contains("second"), "{error}");
    }
}
