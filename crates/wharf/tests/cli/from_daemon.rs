//! What is made in a daemon's store, on its way from there: locked, loaded, pushed, run and rendered.

use std::fs;
use std::process::Command;

use peers::{Access, Podman, Registry, succeed};
use serde_json::Value;

use crate::daemon::User;
use crate::wharf;

const IMAGE: &str = r#"{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "web";
  tag = "1";
  contents = [ pkgs.userland (pkgs.runCommand "files" { } "mkdir $out; echo from the daemon > $out/text") ];
  config.Cmd = [ "/bin/cat" "/text" ];
}
"#;

const CONTAINERS: &str = r#"{ pkgs, ... }: {
  containers.web.image = import ./image.nix { inherit pkgs; };
}
"#;

/// A flake with an input, both in a directory that the daemon's user may read.
fn flake(user: &User) {
    for (name, text) in [
        ("leaf", "{ outputs = _: { v = 1; }; }".to_owned()),
        (
            "top",
            format!(
                "{{ inputs.leaf.url = \"path:{}/leaf\"; outputs = {{ self, leaf }}: {{ v = leaf.v; }}; }}",
                user.home.display()
            ),
        ),
    ] {
        let directory = user.home.join(name);
        user.directory(name);
        fs::write(directory.join("flake.nix"), text).unwrap();
    }
}

#[test]
fn inputs_are_locked_with_the_daemons_store() {
    let Some(user) = User::new() else { return };
    flake(&user);
    let lock = user.home.join("top/flake.lock");
    let printed = user.ok(&["lock", "--in", "top", "--json"]).0;
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["inputs"][0]["input"], "leaf");
    let written = fs::read_to_string(&lock).unwrap();
    assert_eq!(user.ok(&["eval", "./top#v"]).0, "1");
    // The sources are the daemon's objects.
    let sources = user.ok(&["store", "path-info"]).0;
    assert!(sources.lines().filter(|path| path.ends_with("-source")).count() >= 2, "{sources}");
    // Another store gives the same file.
    fs::remove_file(&lock).unwrap();
    let own = tempfile::tempdir().unwrap();
    succeed(wharf(own.path()).arg("lock").arg(user.home.join("top")));
    assert_eq!(fs::read_to_string(&lock).unwrap(), written);
    fs::write(user.home.join("leaf/flake.nix"), "{ outputs = _: { v = 2; }; }").unwrap();
    assert_eq!(user.ok(&["eval", "./top#v"]).0, "1");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, &written).unwrap();
    if peers::is_root() {
        std::os::unix::fs::chown(&lock, Some(65534), Some(65534)).unwrap();
    }
    assert!(user.ok(&["update", "leaf", "--in", "top"]).0.contains("updated input 'leaf'"));
    assert_eq!(user.ok(&["eval", "./top#v"]).0, "2");
}

#[test]
fn an_image_goes_to_a_registry_and_into_containers() {
    let (Some(user), Some(registry)) = (User::new(), Registry::start(Access::Open)) else { return };
    user.write("image.nix", IMAGE);
    user.write("containers.nix", CONTAINERS);
    let reference = format!("{}/team/web:1", registry.host());
    let push = |more: &[&str]| -> Value {
        let printed = user.ok(&[&["push", "--json", "image.nix", &reference][..], more].concat()).0;
        serde_json::from_str::<Value>(&printed).unwrap()["pushed"][0].take()
    };
    let (first, again, past) = (push(&[]), push(&[]), push(&["--no-store"]));
    assert!(first["bytesSent"].as_u64() > Some(0) && again["upToDate"] == true, "{first} {again}");
    assert!(first["digest"] == again["digest"] && first["digest"] == past["digest"], "{first} {again} {past}");
    let digest = first["digest"].as_str().unwrap();
    // Another store pushes the same.
    let own = tempfile::tempdir().unwrap();
    fs::copy(user.home.join("image.nix"), own.path().join("image.nix")).unwrap();
    let mut command = Command::new(&user.binary);
    command.env_clear().env("HOME", own.path()).env("PATH", "/usr/bin:/bin").env("WHARF_STORE", "own");
    let theirs = succeed(command.args(["push", "image.nix", &reference]).current_dir(own.path()));
    assert!(theirs.contains(digest) && theirs.contains("up to date"), "{theirs}");
    // The link to its archive stands for the image.
    let built = user.ok(&["build", "--json", "image.nix"]).0;
    let image = serde_json::from_str::<Value>(&built).unwrap()["results"][0]["outPath"].as_str().unwrap().to_owned();
    assert_eq!(user.ok(&["store", "path-info", "./result"]).0, image);
    assert!(user.ok(&["store", "ls", "-R", "./result"]).0.contains("./image.json"));
    // Its manifest is for a service, and it runs.
    let registry_path = format!("{}/team", registry.host());
    let manifest = user.ok(&["render", "containers.nix", "--target", "compose", "--registry", &registry_path]).0;
    assert!(manifest.contains(&format!("{registry_path}/web@{digest}")), "{manifest}");
    assert_eq!(user.ok(&["run", "image.nix"]).0, "from the daemon");
}

#[test]
fn an_image_is_handed_to_podman() {
    let (Some(user), Some(podman)) = (User::new(), Podman::new()) else { return };
    user.write("image.nix", IMAGE);
    let mut command = user.as_root(&["load", "--runtime", "podman", "image.nix"]);
    assert_eq!(succeed(command.envs(podman.environment())), "web:1\n");
    assert_eq!(podman.run_container::<&str>("web:1", []), "from the daemon\n");
}

#[test]
fn objects_are_copied_and_looked_at() {
    let Some(user) = User::new() else { return };
    user.directory("tree");
    fs::write(user.home.join("tree/file"), "content\n").unwrap();
    let path = user.ok(&["store", "add", "tree"]).0;
    let cache = format!("file://{}/cache", user.home.display());
    user.ok(&["store", "key", "generate", "test-1", "secret"]);
    user.ok(&["store", "push", &cache, "--secret-key", "secret", &path]);
    assert_eq!(user.ok(&["store", "path-info", "--cache", &cache, &path]).0, path);
    user.ok(&["store", "copy", "--to", "./other", &path]);
    assert_eq!(user.ok(&["--store", "./other", "store", "cat", &format!("{path}/file")]).0, "content");
    user.ok(&["store", "gc"]);
    assert!(!user.daemon.root().join(&path[1..]).exists());
    user.ok(&["store", "copy", "--from", "./other", &path]);
    assert_eq!(user.ok(&["store", "ls", "-R", &path]).0, "./file");
    user.ok(&["store", "gc"]);
    user.ok(&["store", "copy", "--from", &cache, &path]);
    assert_eq!(user.ok(&["store", "why-depends", &path, &path]).0, path);
    assert_eq!(user.run(&["store", "dump", &path]).stdout, user.run(&["store", "dump-path", "tree"]).stdout);
    for arguments in [&["verify", "--contents"][..], &["verify", "--signed"], &["optimise"]] {
        user.ok(&[&["store"][..], arguments].concat());
    }
    // What only those may whom the daemon trusts.
    let said = user.run(&["store", "sign", "--key", "secret", &path]);
    assert!(said.status.success() || String::from_utf8_lossy(&said.stderr).contains("privileged"), "{said:?}");
}
