//! Lock files of flakes from the command line, and what expressions fetch with git.

use std::fs;
use std::path::Path;
use std::process::Command;

use peers::succeed;
use serde_json::{Value, json};

use crate::{missing, text, wharf};

fn run(home: &Path, arguments: &[&str]) -> String {
    succeed(wharf(home).current_dir(home.join("top")).args(arguments))
}

fn fails(home: &Path, arguments: &[&str]) -> String {
    let output = wharf(home).current_dir(home.join("top")).args(arguments).output().expect("wharf");
    assert!(!output.status.success(), "{arguments:?}");
    text(&output).1
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]);
    command.args(arguments).current_dir(directory).env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
    succeed(&mut command).trim().to_owned()
}

fn repository(home: &Path, name: &str, flake: &str) -> String {
    let directory = home.join(name);
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("flake.nix"), flake).expect("a flake");
    git(&directory, &["init", "--quiet"]);
    git(&directory, &["add", "."]);
    git(&directory, &["commit", "--quiet", "-m", name]);
    format!("git+file://{}", directory.display())
}

fn has_git() -> bool {
    let there = Path::new("/usr/bin/git").exists();
    if !there {
        missing("git");
    }
    there
}

#[test]
fn inputs_are_locked_once_and_moved_by_update() {
    if !has_git() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let leaf = repository(home, "leaf", "{ outputs = _: { v = 1; }; }");
    let other = repository(home, "other", "{ outputs = _: { v = 7; }; }");
    let flake = format!(
        "{{ inputs.leaf.url = \"{leaf}\"; inputs.named = {{ }}; outputs = {{ leaf, named, ... }}: {{ v = [ leaf.v named.v ]; }}; }}"
    );
    repository(home, "top", &flake);
    fs::create_dir_all(home.join(".config/nix")).expect("a directory");
    let to = json!({ "type": "git", "url": other.trim_start_matches("git+") });
    let registry = json!({ "version": 2, "flakes": [{ "from": { "type": "indirect", "id": "named" }, "to": to }] });
    fs::write(home.join("registry.json"), registry.to_string()).expect("a registry");
    let conf = format!("flake-registry = {}\n", home.join("registry.json").display());
    fs::write(home.join(".config/nix/nix.conf"), conf).expect("settings");

    assert!(fails(home, &["eval", ".#.v", "--no-update-lock-file"]).contains("`wharf lock` completes it"));
    let locked: Value = serde_json::from_str(&run(home, &["lock", "--json"])).expect("JSON");
    let names: Vec<&Value> = locked["inputs"].as_array().expect("inputs").iter().map(|one| &one["input"]).collect();
    assert_eq!(names, ["leaf", "named"]);
    // A flake has only the files that git knows.
    assert!(git(&home.join("top"), &["status", "--short"]).contains("A flake.lock"));
    let written = fs::read_to_string(home.join("top/flake.lock")).expect("the lock file");
    assert_eq!(run(home, &["eval", ".#.v", "--json"]).trim(), "[1,7]");

    fs::write(home.join("leaf/flake.nix"), "{ outputs = _: { v = 2; }; }").expect("a flake");
    git(&home.join("leaf"), &["commit", "--quiet", "-am", "second"]);
    assert_eq!(run(home, &["lock", "--json"]).trim(), json!({ "schema": 1, "inputs": [], "images": [] }).to_string());
    assert_eq!(run(home, &["eval", ".#.v", "--json", "--no-eval-cache"]).trim(), "[1,7]");
    run(home, &["update", "named"]);
    assert_eq!(fs::read_to_string(home.join("top/flake.lock")).expect("the lock file"), written);
    assert!(run(home, &["update", "leaf"]).contains("updated input 'leaf'"));
    assert_eq!(run(home, &["eval", ".#.v", "--json"]).trim(), "[2,7]");
    assert!(fails(home, &["update", "lea"]).contains("the inputs are leaf, named"));

    let overridden = ["eval", ".#.v", "--json", "--override-input", "leaf", &other];
    let before = fs::read_to_string(home.join("top/flake.lock")).expect("the lock file");
    assert_eq!(run(home, &overridden).trim(), "[7,7]");
    assert_eq!(fs::read_to_string(home.join("top/flake.lock")).expect("the lock file"), before);
    run(home, &["lock", "--override-input", "leaf", &other]);
    assert_eq!(run(home, &["eval", ".#.v", "--json"]).trim(), "[7,7]", "what was overridden stays");
    // What is known needs no network, and no git.
    fs::rename(home.join("leaf"), home.join("gone")).expect("the input is away");
    assert_eq!(run(home, &["eval", ".#.v", "--json", "--offline"]).trim(), "[7,7]");
}

#[test]
fn a_pure_evaluation_fetches_only_what_cannot_change() {
    if !has_git() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let leaf = repository(home, "leaf", "{ outputs = _: { }; }");
    let rev = git(&home.join("leaf"), &["rev-parse", "HEAD"]);
    let url = leaf.trim_start_matches("git+");
    let flake = format!(
        "{{ outputs = _: {{ loose = (builtins.fetchGit \"{url}\").rev; \
         fixed = (builtins.fetchTree {{ type = \"git\"; url = \"{url}\"; rev = \"{rev}\"; }}).shortRev; }}; }}"
    );
    repository(home, "top", &flake);
    assert!(fails(home, &["eval", ".#.loose"]).contains("'fetchGit' does not fetch"));
    assert_eq!(run(home, &["eval", "--raw", ".#.loose", "--impure"]).trim(), rev);
    assert_eq!(run(home, &["eval", "--raw", ".#.fixed"]).trim(), &rev[..7]);
}

#[test]
fn store_path_takes_from_the_caches_what_is_not_there() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    fs::create_dir(home.join("top")).expect("a directory");
    fs::write(home.join("top/file"), "content\n").expect("a file");
    let path = run(home, &["store", "add", "./file"]);
    let path = path.trim();
    let cache = format!("file://{}", home.join("cache").display());
    run(home, &["store", "push", &cache, path]);
    let other = home.join("other");
    let expression = format!("builtins.readFile (builtins.storePath \"{path}\")");
    let settings = format!("substituters = {cache}\nrequire-sigs = false");
    let evaluate = |expression: &str| {
        let mut command = wharf(home);
        command.env("NIX_CONFIG", &settings).arg("--store").arg(&other);
        command.args(["eval", "--raw", "-E", expression]);
        command
    };
    assert_eq!(succeed(&mut evaluate(&expression)), "content\n");
    let output = evaluate(&expression.replace(&path[11..20], "000000000")).output().expect("wharf");
    let error = text(&output).1;
    assert!(error.contains("is not in the store, and cannot be taken"), "{error}");
}

/// Every kind of input that needs no network.
const INPUTS: &str = r#"{
  inputs.a.url = "git+file://@ROOT@/leaf";
  inputs.atref = { type = "git"; url = "file://@ROOT@/leaf"; ref = "main"; };
  inputs.atrev.url = "git+file://@ROOT@/leaf?rev=@REV@";
  inputs.shallow.url = "git+file://@ROOT@/leaf?shallow=1";
  inputs.flag.url = "git+file://@ROOT@/leaf?submodules=0";
  inputs.middle = { url = "git+file://@ROOT@/middle"; inputs.leaf.follows = "a"; };
  inputs.middle2.url = "git+file://@ROOT@/middle";
  inputs.deep = { url = "git+file://@ROOT@/middle"; inputs.other.url = "git+file://@ROOT@/sub"; };
  inputs.ball.url = "file://@ROOT@/ball.tar.gz";
  inputs.ball2 = { url = "tarball+file://@ROOT@/ball.tar.gz"; flake = false; };
  inputs.plain = { url = "file://@ROOT@/plain.txt"; flake = false; };
  inputs.plain2 = { url = "file+file://@ROOT@/plain.txt"; flake = false; };
  inputs.named.url = "named";
  inputs.dirred = { };
  inputs.rel.url = "path:./rel";
  inputs.rel2 = { url = ./rel; flake = false; };
  inputs.fol.follows = "middle/other";
  inputs.ws.url = "git+file://@ROOT@/withsub";
  inputs.wsflag.url = "git+file://@ROOT@/withsub?submodules=1";
  outputs = { self, named, ... }: { };
}
"#;

/// A lock file without what differs from run to run.
fn comparable(text: &str, root: &str) -> String {
    let line = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let comma = if value.ends_with(',') { "," } else { "" };
        match name.trim() {
            "\"rev\"" | "\"narHash\"" => format!("{name}: \"@\"{comma}\n"),
            "\"lastModified\"" => format!("{name}: 0{comma}\n"),
            _ => format!("{}\n", line.replace(root, "@ROOT@")),
        }
    };
    text.lines().map(line).collect()
}

/// `expected/flake.lock` is what `nix flake lock` of Nix 2.34.8 wrote for the same inputs.
#[test]
fn every_kind_of_input_is_locked_as_nix_does() {
    if !has_git() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let root = home.display().to_string();
    let leaf = repository(home, "leaf", "{ outputs = _: { }; }");
    repository(home, "sub", "{ outputs = _: { }; }");
    repository(home, "withsub", "{ inputs.self.submodules = true; outputs = _: { }; }");
    git(&home.join("withsub"), &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../sub", "sub"]);
    git(&home.join("withsub"), &["commit", "--quiet", "-m", "sub"]);
    fs::create_dir(home.join("pathflake")).expect("a directory");
    fs::write(home.join("pathflake/flake.nix"), "{ outputs = _: { }; }").expect("a flake");
    let middle = format!(
        "{{ inputs.leaf.url = \"{leaf}\"; inputs.other.url = \"path:{root}/pathflake\"; outputs = _: {{ }}; }}"
    );
    repository(home, "middle", &middle);
    succeed(Command::new("tar").args(["-czf", "ball.tar.gz", "pathflake"]).current_dir(home));
    fs::write(home.join("plain.txt"), "hello\n").expect("a file");
    let entry = |name: &str, to: &str| json!({ "from": { "type": "indirect", "id": name }, "to": { "type": "git", "url": format!("file://{root}/{to}") } });
    let registry = json!({ "version": 2, "flakes": [entry("named", "leaf"), entry("dirred", "middle")] });
    fs::write(home.join("registry.json"), registry.to_string()).expect("a registry");
    fs::create_dir_all(home.join("top/rel")).expect("a directory");
    let relative = format!("{{ inputs.leaf.url = \"{leaf}\"; outputs = _: {{ }}; }}");
    fs::write(home.join("top/rel/flake.nix"), relative).expect("a flake");
    let rev = git(&home.join("leaf"), &["rev-parse", "HEAD"]);
    repository(home, "top", &INPUTS.replace("@ROOT@", &root).replace("@REV@", &rev));

    let mut command = wharf(home);
    command.env("NIX_CONFIG", format!("flake-registry = {root}/registry.json"));
    succeed(command.current_dir(home.join("top")).args(["lock", "--inputs"]));
    let written = fs::read_to_string(home.join("top/flake.lock")).expect("the lock file");
    assert_eq!(comparable(&written, &root), include_str!("expected/flake.lock"));
}
