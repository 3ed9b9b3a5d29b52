//! `--store daemon` and `--builders`, with a real nix-daemon and a real sshd on loopback.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peers::{NixDaemon, SshServer};

use crate::{text, wharf};

/// The user that nobody trusts.
const NOBODY: u32 = 65534;

const IMAGE: &str = r#"{ pkgs, ... }:
let
  text = pkgs.runCommand "text" { } "echo a line of the log; echo hello > $out";
in
pkgs.dockerTools.buildLayeredImage {
  name = "web";
  tag = "1";
  contents = [ (pkgs.linkFarm "files" [ { name = "text"; path = text; } ]) ];
  config.Cmd = [ "cat" "/text" ];
}
"#;

/// A user of a daemon, other than root if the test is root's.
pub(crate) struct User {
    pub(crate) daemon: NixDaemon,
    pub(crate) home: PathBuf,
    pub(crate) binary: PathBuf,
}

impl User {
    pub(crate) fn new() -> Option<Self> {
        let daemon = NixDaemon::start(&[])?;
        let home = daemon.shared("home");
        // Where the program is built, others may not look.
        let binary = home.join("wharf");
        fs::copy(env!("CARGO_BIN_EXE_wharf"), &binary).unwrap();
        Some(Self { daemon, home, binary })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.as_root(arguments);
        if peers::is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// The same as whoever the test is.
    pub(crate) fn as_root(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin").current_dir(&self.home);
        command.env("WHARF_STORE", self.daemon.address());
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}\n{}", self.daemon.log());
        (stdout.trim_end().to_owned(), stderr)
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        text(&output).1
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.home.join(name), text).unwrap();
    }

    /// Makes a directory that is the user's.
    pub(crate) fn directory(&self, name: &str) {
        let directory = self.home.join(name);
        fs::create_dir(&directory).unwrap();
        if peers::is_root() {
            std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

fn out_path(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    value["results"][0]["outPath"].as_str().unwrap().to_owned()
}

#[test]
fn a_user_whom_nobody_trusts_builds_an_image_in_the_daemons_store() {
    let Some(user) = User::new() else { return };
    user.write("image.nix", IMAGE);
    let (json, log) = user.ok(&["build", "-v", "--json", "image.nix"]);
    assert!(log.contains("a line of the log") && log.contains("building image-web"), "{log}");
    let image = out_path(&json);
    assert!(user.daemon.root().join(&image[1..]).join("image.json").exists());
    let info = user.ok(&["store", "path-info", "--json", &image]).0;
    assert!(info.contains("\"ca\":\"fixed:r:sha256:"), "{info}");
    // The archive is what any other store gives.
    let archive = fs::read(user.home.join("result")).unwrap();
    let own = tempfile::tempdir().unwrap();
    fs::copy(user.home.join("image.nix"), own.path().join("image.nix")).unwrap();
    let output = wharf(own.path()).args(["build", "image.nix"]).current_dir(own.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output).1);
    assert_eq!(fs::read(own.path().join("result")).unwrap(), archive);
    // There is nothing left to do, and the daemon keeps it as long as the link is there.
    let (again, log) = user.ok(&["build", "--json", "image.nix"]);
    assert_eq!(out_path(&again), image);
    assert!(!log.contains("building"), "{log}");
    assert!(user.ok(&["build", "--dry-run", "image.nix"]).1.contains("nothing would be built"));
    let roots = user.ok(&["store", "roots"]).0;
    assert!(roots.contains(&image), "{roots}\n{}", user.daemon.log());
    let kept = user.ok(&["store", "gc", "--dry-run"]).0;
    assert!(!kept.contains(&image) && kept.contains("-userland"), "{kept}");
    let closure = user.ok(&["store", "closure", &image]).0;
    assert!(closure.lines().count() > 1 && closure.contains("-text"), "{closure}");
    let verified = user.daemon.program("nix-store").args(["--verify", "--check-contents"]).output().unwrap();
    assert!(verified.status.success(), "{}", peers::printed(&verified));
    // Then it goes.
    fs::remove_file(user.home.join("result")).unwrap();
    user.ok(&["store", "gc"]);
    assert!(!user.daemon.root().join(&image[1..]).exists());
    assert_eq!(fs::read_dir(user.home.join(".local/share/wharf/realisations")).unwrap().count(), 0);
    let again = user.ok(&["build", "--json", "--no-link", "image.nix"]).0;
    assert_eq!(out_path(&again), image);
}

#[test]
fn the_daemons_store_is_looked_after() {
    let Some(user) = User::new() else { return };
    user.write("file", "content\n");
    let path = user.ok(&["store", "add", "file"]).0;
    assert_eq!(user.ok(&["store", "cat", &path]).0, "content");
    assert!(user.ok(&["store", "ls", "-l", &path]).0.contains("8"));
    assert_eq!(user.ok(&["store", "real-path", &path]).0, user.daemon.root().join(&path[1..]).display().to_string());
    assert!(user.ok(&["store", "path-info", "-rsS", &path]).0.contains(&path));
    assert!(user.run(&["store", "dump", &path]).stdout.starts_with(b"\x0d\0\0\0\0\0\0\0nix-archive-1"));
    user.ok(&["store", "verify"]);
    assert!(user.ok(&["doctor"]).0.contains("Nix 2."));
    let repaired = user.run(&["store", "repair", &path]);
    // Root is trusted, and others are told that they are not.
    assert!(repaired.status.success() || text(&repaired).1.contains("trusted"), "{}", text(&repaired).1);
    for (arguments, reason) in [
        (&["--store", "https://example.org", "store", "gc"][..], "is no store in which things can be made"),
        (&["--store", "daemon?state=/x", "store", "gc"], "it has no parameter 'state'"),
        (&["--store", "ssh-ng://host", "build", "file"], "--builders 'ssh-ng://HOST'"),
    ] {
        let said = user.fails(arguments);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    let nobody = user.home.join("no-socket");
    let said = user.fails(&["--store", &format!("unix://{}", nobody.display()), "store", "gc"]);
    assert!(said.contains("no-socket") && said.contains("--store own"), "{said}");
    // A failed build says what the builder said, and where more is.
    user.write("bad.nix", "{ pkgs, ... }: pkgs.runCommand \"bad\" { } \"echo the reason; exit 3\"");
    let said = user.fails(&["build", "bad.nix"]);
    assert!(said.contains("the reason") && said.contains("exit code 3"), "{said}");
}

#[test]
fn what_is_old_or_too_much_is_collected_by_the_daemon() {
    let Some(user) = User::new() else { return };
    for name in ["a", "b"] {
        user.write(name, &name.repeat(100_000));
        user.ok(&["store", "add", name]);
    }
    let there = || user.ok(&["store", "path-info"]).0.lines().count();
    // All of it is of today.
    assert!(user.ok(&["store", "gc", "--keep-days", "3"]).1.contains("0 objects"));
    assert!(user.ok(&["store", "gc", "--max-size", "1G"]).1.contains("0 objects"));
    let foreseen = user.ok(&["store", "gc", "--dry-run", "--json"]).0;
    let foreseen: serde_json::Value = serde_json::from_str(&foreseen).unwrap();
    assert!(foreseen["bytes"].as_u64().is_some_and(|bytes| bytes > 200_000), "{foreseen}");
    assert_eq!(there(), 2);
    user.ok(&["store", "gc", "--max-size", "150K"]);
    assert_eq!(there(), 1);
    user.ok(&["store", "gc"]);
    assert_eq!(there(), 0);
}

const READS: &str = r#"{ pkgs, ... }@args:
let
  image = import ./image.nix args;
  uses = pkgs.runCommand "uses" { } "ls ${image} > $out; echo ${image} >> $out";
in
{
  names = builtins.attrNames (builtins.readDir image);
  sources = builtins.path { path = image + "/image.json"; name = "copied"; };
  again = pkgs.runCommand "again" { lines = builtins.length (builtins.split "\n" (builtins.readFile uses)); }
    "echo built with $lines; cat ${uses} > $out";
}
"#;

#[test]
fn what_wharf_makes_is_read_while_an_expression_is_evaluated() {
    let Some(user) = User::new() else { return };
    user.write("image.nix", IMAGE);
    user.write("reads.nix", READS);
    let both = |arguments: &[&str]| {
        let own = user.command(arguments).env("WHARF_STORE", "own").output().unwrap();
        assert!(own.status.success(), "{}", text(&own).1);
        (user.ok(arguments).0, text(&own).0.trim_end().to_owned())
    };
    let (names, own) = both(&["eval", "--json", "-f", "reads.nix", "names"]);
    assert!(names == own && names.contains("image.json"), "{names} {own}");
    // The same program gives the same derivations in every store.
    let (derivation, own) = both(&["instantiate", "-f", "reads.nix", "again"]);
    assert_eq!(derivation, own);
    assert!(user.ok(&["eval", "--raw", "-f", "reads.nix", "sources"]).0.ends_with("-copied"));
    let built = user.ok(&["build", "-f", "reads.nix", "again"]).0;
    let read = fs::read_to_string(user.daemon.root().join(&built[1..])).unwrap();
    let image = out_path(&user.ok(&["build", "--json", "--no-link", "image.nix"]).0);
    assert_eq!(read, format!("image.json\n{image}\n"));
    assert!(user.ok(&["log", "-f", "reads.nix", "again"]).0.contains("built with"));
    // It is known the next time, without being evaluated.
    let (again, said) = user.ok(&["build", "--stats", "-f", "reads.nix", "again"]);
    assert!(again == built && said.contains("\"evaluated\":false"), "{said}");
    // A link that led to an archive leads to what is built next.
    user.ok(&["build", "image.nix"]);
    user.ok(&["build", "-f", "reads.nix", "again"]);
    assert_eq!(fs::read_link(user.home.join("result")).unwrap(), Path::new(&built));
}

/// Makes `$0` a root directory that is as this one, but for `$1` at `/nix`, and runs the rest of the words there.
const WITH_NIX: &str = "set -e; mount -t tmpfs none \"$0\"; for d in /*; do n=\"$0$d\"; if [ -L \"$d\" ]; then cp -P \"$d\" \"$n\"; \
     elif [ -d \"$d\" ] && [ \"$d\" != /nix ]; then mkdir \"$n\"; mount --rbind \"$d\" \"$n\"; fi; done; mkdir \"$0/nix\" \"$0/.old\"; \
     mount --rbind \"$1\" \"$0/nix\"; cd \"$0\"; pivot_root . .old; cd \"$2\"; shift 2; exec \"$@\"";

#[test]
fn where_a_daemon_answers_its_store_is_the_default() {
    let Some(user) = User::new() else { return };
    user.write("image.nix", IMAGE);
    let nix = user.daemon.root().join("nix");
    let root = user.daemon.shared("new-root");
    let run = |socket: &Path, more: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(if peers::is_root() { &[][..] } else { &["--user", "--map-root-user"] });
        command.args(["sh", "-c", WITH_NIX]).args([&root, &nix, &user.home, &user.binary]).args(arguments);
        command.env_clear().env("HOME", &user.home).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("NIX_DAEMON_SOCKET_PATH", socket).envs(more.iter().copied());
        let (stdout, stderr) = text(&command.output().unwrap());
        (stdout.trim_end().to_owned(), stderr)
    };
    let socket = user.daemon.socket();
    let image = out_path(&run(&socket, &[], &["build", "--json", "image.nix"]).0);
    assert!(user.daemon.root().join(&image[1..]).exists(), "{}", user.daemon.log());
    assert!(!user.home.join(".local/share/wharf/nix/store").exists());
    assert!(run(&socket, &[], &["store", "roots"]).0.contains(&image));
    let (said, _) = run(&socket, &[], &["doctor"]);
    assert!(said.contains("Nix 2.") && said.contains(socket.to_str().unwrap()), "{said}");
    // Who says where the store is gets that one.
    let own = user.home.join("own");
    let home = [("WHARF_HOME", own.to_str().unwrap())];
    for (more, arguments) in [
        (&home[..], &["store", "path-info"][..]),
        (&home, &["--store", "auto", "store", "path-info"]),
        (&[], &["--store", "own", "store", "path-info"]),
        (&[("WHARF_STORE", "own")], &["store", "path-info"]),
        (&[], &["--store", "own", "store", "path-info"]),
    ] {
        assert_eq!(run(&socket, more, arguments), (String::new(), String::new()), "{arguments:?}");
    }
    assert!(run(&socket, &home, &["--store", "daemon", "store", "path-info"]).0.contains(&image));
    // Where there is no socket nothing is said, and of one that is of no use one line.
    assert_eq!(run(&user.home.join("none"), &[], &["store", "path-info"]), (String::new(), String::new()));
    let dead = user.home.join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let (stdout, said) = run(&dead, &[], &["store", "path-info"]);
    assert_eq!((stdout.as_str(), said.lines().count()), ("", 1), "{said}");
    assert!(said.starts_with("note: ") && said.contains("Connection refused"), "{said}");
    assert!(run(&dead, &[], &["doctor"]).0.contains("Connection refused"));
    assert_eq!(run(&dead, &[], &["-qq", "store", "path-info"]).1, "");
    let impostor = user.home.join("impostor");
    let listener = std::os::unix::net::UnixListener::bind(&impostor).unwrap();
    let answers = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 16]).unwrap();
        // Version 1.20.
        stream.write_all(&[0x6f, 0x69, 0x78, 0x64, 0, 0, 0, 0, 0x14, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    });
    let (_, said) = run(&impostor, &[], &["store", "path-info"]);
    assert!(said.contains("speaks version 1.20") && said.lines().count() == 1, "{said}");
    answers.join().unwrap();
    assert!(run(&dead, &[], &["--store", "daemon", "store", "path-info"]).1.contains("--store own"));
}

#[test]
fn an_image_is_run_by_what_depends_on_it() {
    let Some(user) = User::new() else { return };
    user.write("image.nix", IMAGE);
    let uses = "{ pkgs, ... }@args: let image = import ./image.nix args; in pkgs.runCommand \"uses\" { } \"ls ${image} > $out; echo ${image} >> $out\"";
    user.write("uses.nix", uses);
    let image = out_path(&user.ok(&["build", "--json", "--no-link", "image.nix"]).0);
    let used = user.ok(&["build", "uses.nix"]).0;
    let text = fs::read_to_string(user.daemon.root().join(&used[1..])).unwrap();
    assert!(text.contains("image.json") && text.contains(&image), "{text}");
    assert_eq!(fs::read_link(user.home.join("result")).unwrap(), Path::new(&used));
}

#[test]
fn builds_are_sent_to_machines() {
    let (Some(ssh), Some(there)) = (SshServer::start(), NixDaemon::start(&[])) else { return };
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("image.nix"), IMAGE).unwrap();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let line = |options: &str| {
        let (destination, script, key) = (ssh.destination(), there.script(true), ssh.key());
        let (script, key) = (script.display(), key.display());
        format!("ssh-ng://{destination}?remote-program={script}{options} {system} {key} 2 1 - - {}", ssh.host_key())
    };
    let build = |configure: &dyn Fn(&mut Command)| {
        let mut command = wharf(home.path());
        command.args(["build", "-v", "-j0", "image.nix"]).current_dir(home.path());
        command.env("NIX_SSHOPTS", "-oStrictHostKeyChecking=yes -oBatchMode=yes").env("NIX_CONF_DIR", home.path());
        configure(&mut command);
        command.output().unwrap()
    };
    // Without a machine nobody may build.
    let (_, said) = text(&build(&|_| ()));
    assert!(said.contains("0 jobs") || said.contains("machine"), "{said}");
    let output = build(&|command| {
        command.args(["--builders", &line("")]);
    });
    let (_, log) = text(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("building text on ssh-ng://") && log.contains("a line of the log"), "{log}");
    // What is part of this program stays here.
    assert!(log.contains("building image-web\n"), "{log}");
    // The same by nix.conf, and a file of machines.
    fs::write(home.path().join("machines"), format!("# ours\n{}\n", line(""))).unwrap();
    for builders in ["", "builders = @machines-of-test\n", "builders =\n"] {
        let file = home.path().join("machines");
        let conf = builders.replace("@machines-of-test", &format!("@{}", file.display()));
        fs::write(home.path().join("nix.conf"), conf).unwrap();
        fs::write(home.path().join("image.nix"), IMAGE.replace("hello", &format!("hello {}", builders.len()))).unwrap();
        let output = build(&|_| ());
        assert_eq!(output.status.success(), builders != "builders =\n", "{builders}: {}", text(&output).1);
    }
    for (builders, reason) in [
        ("ssh-ng://h x86_64-linux - none", "'none' is no number of jobs"),
        ("https://example.org", "is no machine with a Nix daemon"),
        ("@/does/not/exist", "No such file"),
        ("ssh-ng://h?what=1", "it has no parameter 'what'"),
    ] {
        let output = build(&|command| {
            command.args(["--builders", builders]);
        });
        let (_, said) = text(&output);
        assert!(!output.status.success() && said.contains(reason), "{builders}: {said}");
    }
}

#[test]
fn a_store_elsewhere_is_looked_after() {
    let (Some(ssh), Some(there)) = (SshServer::start(), NixDaemon::start(&[])) else { return };
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "content\n").unwrap();
    let (destination, script, key) = (ssh.destination(), there.script(true), ssh.key());
    let address = format!("ssh-ng://{destination}?remote-program={}&ssh-key={}", script.display(), key.display());
    let run = |arguments: &[&str]| {
        let mut command = wharf(home.path());
        let known = format!("-oStrictHostKeyChecking=yes -oUserKnownHostsFile={}", ssh.known_hosts().display());
        command.args(arguments).current_dir(home.path()).env("NIX_SSHOPTS", known);
        command.output().unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output).1);
        text(&output).0.trim_end().to_owned()
    };
    let path = ok(&["store", "add", "file"]);
    ok(&["store", "copy", "--to", &address, &path]);
    assert_eq!(ok(&["--store", &address, "store", "path-info"]), path);
    assert_eq!(ok(&["--store", &address, "store", "closure", &path]), path);
    let dump = |arguments: &[&str]| run(arguments).stdout;
    assert_eq!(dump(&["--store", &address, "store", "dump", &path]), dump(&["store", "dump", &path]));
    let other = ok(&["store", "copy", "--from", &address, "--to", "other", &path, "--json"]);
    assert!(other.contains(&path), "{other}");
    for (arguments, reason) in [
        (&["--store", &address, "store", "cat", &path][..], "are not on this machine"),
        (&["--store", &address, "--offline", "store", "path-info"], "the network is not used"),
    ] {
        let output = run(arguments);
        assert!(!output.status.success() && text(&output).1.contains(reason), "{}", text(&output).1);
    }
    ok(&["--store", &address, "store", "gc"]);
    assert_eq!(ok(&["--store", &address, "store", "path-info"]), "");
}

const FLOATING: &str = r#"let
  make = name: script: inputs: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" script ];
    __contentAddressed = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
  } // inputs);
  a = make "a" "echo 41 > $out" { };
in {
  inherit a;
  b = make "b" "echo $a > $out" { inherit a; };
  # Built to be read while this is evaluated.
  c = derivation { name = "c-${toString (import a + 1)}"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo ${a} > $out" ]; };
}
"#;

#[test]
fn paths_that_follow_from_content_are_those_of_nix() {
    let Some(daemon) = NixDaemon::start(&[]) else { return };
    let home = tempfile::tempdir().unwrap();
    let file = daemon.shared("definitions").join("floating.nix");
    fs::write(&file, FLOATING).unwrap();
    let build = |store: Option<String>, attribute: &str| {
        let mut command = wharf(home.path());
        command
            .args(["build", "--no-link", "-f"])
            .arg(&file)
            .arg(attribute)
            .envs(store.map(|store| ("WHARF_STORE", store)));
        let (stdout, stderr) = text(&command.output().unwrap());
        assert!(!stdout.is_empty(), "{stderr}");
        stdout
    };
    for attribute in ["a", "b", "c"] {
        let ours = build(None, attribute);
        let inside = PathBuf::from("/").join(file.strip_prefix(daemon.system()).unwrap());
        let mut theirs = daemon.program("nix-build");
        theirs.args(daemon.settings()).arg(inside).args(["--no-out-link", "-A", attribute]);
        assert_eq!(ours, peers::succeed(&mut theirs), "{attribute}");
        // And in the daemon's store, by the daemon.
        assert_eq!(build(Some(daemon.address()), attribute), ours, "{attribute}");
    }
}
