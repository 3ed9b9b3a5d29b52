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
struct User {
    daemon: NixDaemon,
    home: PathBuf,
    binary: PathBuf,
}

impl User {
    fn new() -> Option<Self> {
        let daemon = NixDaemon::start(&[])?;
        let home = daemon.shared("home");
        // Where the program is built, others may not look.
        let binary = home.join("wharf");
        fs::copy(env!("CARGO_BIN_EXE_wharf"), &binary).unwrap();
        Some(Self { daemon, home, binary })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin").current_dir(&self.home);
        command.env("WHARF_STORE", self.daemon.address());
        if peers::is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> (String, String) {
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

    fn write(&self, name: &str, text: &str) {
        fs::write(self.home.join(name), text).unwrap();
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
    // What the daemon cannot do is said, not left out.
    for (arguments, reason) in [
        (&["store", "gc", "--keep-days", "3"][..], "without '--keep-days'"),
        (&["store", "gc", "--max-size", "1G"], "without '--max-size'"),
        (&["store", "repair"], "repairs its store itself"),
        (&["--store", "https://example.org", "store", "gc"], "is no store in which things can be made"),
        (&["--store", "daemon?state=/x", "store", "gc"], "it has no parameter 'state'"),
        (&["--store", "ssh-ng://host", "build", "file"], "--builders 'ssh-ng://HOST'"),
    ] {
        let said = user.fails(arguments);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    let nobody = user.home.join("no-socket");
    let said = user.fails(&["--store", &format!("unix://{}", nobody.display()), "store", "gc"]);
    assert!(said.contains("no-socket") && said.contains("without --store"), "{said}");
    // A failed build says what the builder said, and where more is.
    user.write("bad.nix", "{ pkgs, ... }: pkgs.runCommand \"bad\" { } \"echo the reason; exit 3\"");
    let said = user.fails(&["build", "bad.nix"]);
    assert!(said.contains("the reason") && said.contains("exit code 3"), "{said}");
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
