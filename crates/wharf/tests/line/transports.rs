//! Images between places: every transport as source and as destination, with the real docker, podman and containerd.

use std::process::Command;

use peers::{Access, Containerd, Docker, Podman, Registry, available, printed, succeed};
use serde_json::Value;

use crate::place::Place;

const DEFINITION: &str = r#"{ pkgs, ... }:
let
  shell = pkgs.runCommand "shell" { } "mkdir -p $out/bin; cp ${./busybox} $out/bin/sh; chmod +x $out/bin/sh";
in
pkgs.dockerTools.buildLayeredImage {
  name = "carried";
  tag = "1.0";
  config.Cmd = [ "${shell}/bin/sh" "-c" "echo carried" ];
}
"#;
const SAID: &str = "carried\n";

/// The engines and a registry, and a Wharf that reaches them.
struct World {
    docker: Docker,
    podman: Podman,
    containerd: Containerd,
    registry: Registry,
    place: Place,
}

impl World {
    fn new() -> Option<World> {
        let world = World {
            docker: Docker::start()?,
            podman: Podman::new()?,
            containerd: Containerd::start()?,
            registry: Registry::start(Access::Open)?,
            place: Place::new(DEFINITION),
        };
        (available(&["skopeo"]) && world.place.with_busybox()).then_some(world)
    }

    fn wharf(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.wharf(arguments.iter().copied());
        command.env("DOCKER_HOST", self.docker.host()).envs(self.podman.environment());
        command.envs(self.containerd.environment());
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&succeed(&mut self.wharf(&[arguments, &["--json"]].concat()))).expect("JSON")
    }

    fn copy(&self, from: &str, to: &str) -> Value {
        self.json(&["copy", from, to])
    }

    fn at_registry(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.registry.host())
    }

    /// The image's ID as skopeo, which has no part in the copy, reads it from the registry.
    fn id(&self, name: &str) -> String {
        let raw = peers::run("skopeo", ["inspect", "--raw", "--tls-verify=false", &self.at_registry(name)]);
        let manifest: Value = serde_json::from_str(&raw).expect("a manifest");
        manifest["config"]["digest"].as_str().expect("an ID").to_owned()
    }

    fn docker_runs(&self, image: &str) {
        assert_eq!(self.docker.run(["run", "--rm", "--network=none", image]), SAID, "docker, {image}");
    }

    fn podman_runs(&self, image: &str) {
        assert_eq!(self.podman.run_container::<&str>(image, []), SAID, "podman, {image}");
    }
}

#[test]
fn an_image_goes_from_any_place_to_any_other() {
    let Some(world) = World::new() else { return };
    let pushed = world.json(&["push", "./image.nix", &world.at_registry("carried:1.0")]);
    let digest = pushed["pushed"][0]["digest"].as_str().expect("a digest").to_owned();
    let id = world.id("carried:1.0");
    from_the_registry(&world, &digest);
    into_the_registry(&world, &digest, &id);
    between_engines(&world, &digest, &id);
    a_build_is_pushed_into_engines(&world);
    looked_at(&world, &id);
}

fn from_the_registry(world: &World, digest: &str) {
    let from = world.at_registry("carried:1.0");
    for to in [
        "oci:layout:1.0",
        "oci-archive:oci.tar:1.0",
        "docker-archive:docker.tar:carried:1.0",
        "docker-daemon:by-registry:1",
        "containers-storage:by-registry:1",
        "containerd:[test]docker.io/library/by-registry:1",
    ] {
        let copied = world.copy(&from, to);
        assert_eq!(copied["digest"], digest, "{to}");
        let makes_its_own = to.starts_with("docker-daemon") || to.starts_with("docker-archive");
        assert_eq!(copied["digestChanged"].is_string(), makes_its_own, "{copied}");
    }
    assert_eq!(world.copy(&from, "oci:layout:1.0")["upToDate"], true);
    world.docker_runs("by-registry:1");
    world.podman_runs("docker.io/library/by-registry:1");
    let kept = world.podman.run(["image", "inspect", "--format={{.Digest}}", "docker.io/library/by-registry:1"]);
    assert_eq!(kept.trim(), digest, "podman keeps the digest");
    let images = world.containerd.run(["--namespace", "test", "images", "ls"]);
    assert!(images.contains(digest), "containerd keeps the digest: {images}");
    assert_eq!(world.containerd.run_container("test", "docker.io/library/by-registry:1"), SAID);
    for archive in ["docker-archive:docker.tar", "oci-archive:oci.tar"] {
        let (transport, file) = archive.split_once(':').expect("a transport");
        let path = format!("{transport}:{}", world.place.path().join(file).display());
        peers::run("skopeo", ["inspect", "--config", &path]);
    }
    world.docker.run(["load", "-i", &world.place.path().join("docker.tar").display().to_string()]);
    world.docker_runs("carried:1.0");
}

fn into_the_registry(world: &World, digest: &str, id: &str) {
    for (number, from) in
        ["oci:layout:1.0", "oci-archive:oci.tar:1.0", "containerd:[test]by-registry:1"].into_iter().enumerate()
    {
        let name = format!("same-{number}:1.0");
        let copied = world.json(&["copy", "--preserve-digests", from, &world.at_registry(&name)]);
        assert_eq!((&copied["digest"], &copied["digestChanged"]), (&digest.into(), &Value::Null), "{from}");
    }
    for (number, from) in [
        "docker-archive:docker.tar:carried:1.0",
        "docker-daemon:by-registry:1",
        "containers-storage:docker.io/library/by-registry:1",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("same-image-{number}:1.0");
        let to = world.at_registry(&name);
        let refused = world.wharf(&["copy", "--preserve-digests", from, &to]).output().expect("wharf starts");
        assert!(!refused.status.success() && printed(&refused).contains("cannot be preserved"), "{from}");
        world.copy(from, &to);
        assert_eq!(world.id(&name), id, "{from}");
        // The layers that were compressed on the way are known now.
        let again = world.copy(from, &world.at_registry(&format!("again-{number}:1.0")));
        let repeated = world.copy(from, &to);
        assert_eq!(again["digest"], repeated["digest"], "{from}: the same bytes each time");
        assert_eq!(repeated["upToDate"], true, "{from}");
        world.docker.run(["pull", "--quiet", &to["docker://".len()..]]);
        world.docker_runs(&to["docker://".len()..]);
    }
    // The digest is the one of the push, since the same compressor made the layers.
    let copied = world.copy("docker-daemon:by-registry:1", &world.at_registry("compressed-alike:1.0"));
    assert_eq!(copied["digest"], digest, "{copied}");
}

fn between_engines(world: &World, digest: &str, id: &str) {
    world.copy("docker-daemon:by-registry:1", "containers-storage:by-docker:1");
    world.podman_runs("docker.io/library/by-docker:1");
    world.copy("containers-storage:by-docker:1", "docker-daemon:by-podman:1");
    world.docker_runs("by-podman:1");
    world.copy("docker-daemon:by-registry:1", "containerd:[test]docker.io/library/by-docker:1");
    assert_eq!(world.containerd.run_container("test", "docker.io/library/by-docker:1"), SAID);
    world.copy("containerd:[test]by-registry:1", "docker-daemon:by-containerd:1");
    world.docker_runs("by-containerd:1");
    assert_eq!(world.copy("containerd:[test]by-registry:1", "containers-storage:by-containerd:1")["digest"], digest);
    world.podman_runs("docker.io/library/by-containerd:1");
    for (from, to) in [
        ("docker-daemon:by-podman:1", "oci-archive:by-docker.tar:1"),
        ("containers-storage:by-docker:1", "oci-archive:by-podman.tar:1"),
        ("docker-daemon:by-podman:1", "oci:by-docker:1"),
    ] {
        world.copy(from, to);
        assert_eq!(world.json(&["inspect", to])["id"], id, "{to}");
    }
    let ids = world.docker.run(["images", "--no-trunc", "--quiet"]);
    assert!(ids.lines().all(|line| line == id), "one image under all names: {ids}");
}

fn a_build_is_pushed_into_engines(world: &World) {
    let engines = ["docker-daemon:built:1", "containers-storage:built:1", "containerd:[test]built:1"];
    succeed(&mut world.wharf(&[&["push", "./image.nix"][..], &engines].concat()));
    world.docker_runs("built:1");
    world.podman_runs("docker.io/library/built:1");
    assert_eq!(world.containerd.run_container("test", "docker.io/library/built:1"), SAID);
    let to = world.at_registry("tags");
    let pushed = world.json(&["push", "./image.nix", &to, "--tag", "1.2", "--tag", "latest"]);
    assert_eq!(pushed["pushed"].as_array().map(Vec::len), Some(2), "{pushed}");
    let tags = succeed(&mut world.wharf(&["tags", &to]));
    let mut tags: Vec<_> = tags.lines().collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1.2", "latest"]);
}

fn looked_at(world: &World, id: &str) {
    for place in ["docker-daemon:built:1", "containers-storage:built:1", "containerd:[test]built:1"] {
        assert_eq!(world.json(&["inspect", place])["id"], id, "{place}");
    }
    succeed(&mut world.wharf(&["pull", "docker-daemon:built:1", "pulled"]));
    assert_eq!(world.json(&["inspect", "./pulled"])["id"], id);
    succeed(&mut world.wharf(&["pull", &world.at_registry("carried:1.0"), "docker-daemon:pulled:1"]));
    world.docker_runs("pulled:1");
    let missing =
        world.wharf(&["copy", "docker-daemon:no-such-image:1", "oci:nothing"]).output().expect("wharf starts");
    assert!(printed(&missing).contains("Docker's daemon has no image no-such-image:1"), "{}", printed(&missing));
    assert!(!world.place.path().join("nothing").exists(), "nothing is left behind");
    for place in ["containers-storage:no-such-image:1", "containerd:[test]no-such-image:1"] {
        let missing = world.wharf(&["copy", place, "oci-archive:nothing.tar"]).output().expect("wharf starts");
        assert!(printed(&missing).contains("no-such-image:1"), "{}", printed(&missing));
        assert!(!world.place.path().join("nothing.tar").exists(), "nothing is left behind");
    }
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let place = Place::new(DEFINITION);
    for (from, what, advice) in [
        ("docker-daemon:a:1", "no daemon answers at unix:///nonexistent/docker.sock", "DOCKER_HOST=unix://PATH"),
        ("containers-storage:a:1", "needs the program `podman`: it is not installed", "install podman"),
        ("containerd:a:1", "needs the program `ctr`: it is not installed", "install containerd"),
        ("oci:nowhere", "cannot open the image nowhere", "No such file"),
    ] {
        let mut copy = place.wharf(["copy", from, "oci:layout"]);
        copy.env("PATH", "/nonexistent").env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        let output = copy.output().expect("wharf starts");
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(what) && text.contains(advice), "{from}: {text}");
        assert!(!place.path().join("layout").exists(), "{from}");
    }
    for (arguments, says) in [
        (&["copy", "./x.tar", "localhost:1/a:1"][..], "docker-archive:./x.tar"),
        (&["copy", "docker-daemon:", "oci:x"], "after `docker-daemon:` comes NAME[:TAG]"),
        (&["copy", "containerd:[x", "oci:x"], "not closed"),
        (&["push", "docker-daemon:a"], "has to be pushed under a name"),
    ] {
        let output = place.output(arguments.iter().copied());
        assert!(output.status.code() == Some(2) && printed(&output).contains(says), "{}", printed(&output));
    }
}
