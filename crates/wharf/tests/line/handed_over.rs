//! Images handed to docker and podman, and run by them, without a tarball in between.

use std::process::Command;

use peers::{Docker, Podman, succeed};

use crate::place::Place;

const DEFINITION: &str = r#"{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "handed";
  tag = "1.0";
  contents = [ pkgs.userland ];
  config = {
    Cmd = [ "/bin/sh" "-c" "cat /data/word; echo $GREETING; exit 7" ];
    Env = [ "GREETING=from the image" ];
  };
}
"#;

/// A `wharf` for which `docker` and `podman` are the tests' own.
type Reach<'a> = &'a dyn Fn(&mut Command);

#[test]
fn docker_and_podman_take_and_run_images() {
    let (Some(docker), Some(podman)) = (Docker::start(), Podman::new()) else { return };
    let place = Place::new(DEFINITION);
    let reach_docker = |command: &mut Command| {
        command.env("DOCKER_HOST", docker.host());
    };
    let reach_podman = |command: &mut Command| {
        command.envs(podman.environment());
    };
    for (engine, reach) in [("docker", &reach_docker as Reach<'_>), ("podman", &reach_podman)] {
        is_loaded(&place, engine, reach);
        is_run(&place, engine, reach);
    }
    assert!(docker.run(["images", "--format={{.Repository}}:{{.Tag}}"]).contains("handed:1.0"));
    assert!(podman.run(["images", "--format={{.Repository}}:{{.Tag}}"]).contains("handed:1.0"));
}

fn is_loaded(place: &Place, engine: &str, reach: Reach<'_>) {
    let mut load = place.wharf(["load", "--runtime", engine, "./image.nix"]);
    reach(&mut load);
    assert_eq!(succeed(&mut load), "handed:1.0\n", "{engine}");
    assert!(!place.path().join(".local/share/wharf/archives").exists(), "{engine}: no archive is written for it");
}

fn is_run(place: &Place, engine: &str, reach: Reach<'_>) {
    std::fs::create_dir_all(place.path().join("data")).expect("the volume");
    place.write("data/word", "volume\n");
    let options =
        ["run", "--runtime", engine, "--network=none", "-v", "./data:/data:ro", "-e", "GREETING=from outside"];
    let mut run = place.wharf(options);
    reach(run.arg("./image.nix"));
    let output = run.output().expect("wharf starts");
    assert_eq!(output.status.code(), Some(7), "{engine}: {}", peers::printed(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "volume\nfrom outside\n", "{engine}");
}

#[test]
fn without_docker_and_podman_the_error_says_what_else_there_is() {
    let place = Place::new(DEFINITION);
    let output = place.wharf(["load", "./image.nix"]).env("PATH", "/nonexistent").output().expect("wharf starts");
    let printed = peers::printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("neither docker nor podman is installed") && printed.contains("wharf run"), "{printed}");
}
