//! Each kind of image, loaded and run by others, and pulled by them from Debian's registry and from ours.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use peers::{Access, Containerd, Docker, Podman, Registry, available, is_root, succeed};
use serde_json::{Value, json};

use crate::place::Place;
use crate::served::Served;

/// The kinds that are one image.
const KINDS: [&str; 4] = ["plain", "layers", "stream", "database"];

fn place() -> Option<Place> {
    let place = Place::new(include_str!("kinds.nix"));
    place.with_busybox().then_some(place)
}

/// Builds a kind and gives the link to the result.
fn build(place: &Place, kind: &str) -> PathBuf {
    succeed(&mut place.wharf(["build", "./image.nix", "-A", kind, "-o", kind]));
    place.path().join(kind)
}

/// The archive of a kind: the result itself, or what it writes.
fn archive(place: &Place, kind: &str) -> PathBuf {
    let result = build(place, kind);
    if kind != "stream" {
        return result;
    }
    let archive = place.path().join("stream.tar");
    let written = Command::new(result).stdout(File::create(&archive).expect("a file")).status();
    assert!(written.expect("the script runs").success());
    archive
}

#[test]
fn docker_podman_and_runc_run_each_kind() {
    let (Some(docker), Some(podman)) = (Docker::start(), Podman::new()) else { return };
    if !available(&["skopeo", "umoci", "runc"]) {
        return;
    }
    let Some(place) = place() else { return };
    for kind in KINDS {
        let (archive, image, said) = (archive(&place, kind), format!("{kind}:1"), format!("{kind}\n"));
        let archive = archive.display().to_string();
        docker.run(["load", "-i", &archive]);
        assert_eq!(docker.run(["run", "--rm", "--network=none", &image]), said, "docker, {kind}");
        podman.run(["load", "-i", &archive]);
        assert_eq!(podman.run_container::<&str>(&image, []), said, "podman, {kind}");
        assert_eq!(by_runc(&place, kind, &archive), said, "runc, {kind}");
    }
    let merged = build(&place, "merged").display().to_string();
    docker.run(["rmi", "plain:1", "layers:1"]);
    podman.run(["rmi", "--all", "--force"]);
    docker.run(["load", "-i", &merged]);
    podman.run(["load", "-i", &merged]);
    for kind in ["plain", "layers"] {
        let (image, said) = (format!("{kind}:1"), format!("{kind}\n"));
        assert_eq!(docker.run(["run", "--rm", "--network=none", &image]), said, "docker, merged {kind}");
        assert_eq!(podman.run_container::<&str>(&image, []), said, "podman, merged {kind}");
    }
}

/// Unpacks an archive with others' tools and runs it.
fn by_runc(place: &Place, kind: &str, archive: &str) -> String {
    let at = |name: &str| place.path().join(format!("{name}-{kind}")).display().to_string();
    let layout = format!("{}:1", at("layout"));
    let (from, to) = (format!("docker-archive:{archive}"), format!("oci:{layout}"));
    peers::run("skopeo", ["copy", "--insecure-policy", "--quiet", &from, &to]);
    peers::run("umoci", ["unpack", "--image", &layout, &at("bundle")]);
    run_bundle(&at("bundle"), &at("runc"), kind)
}

fn run_bundle(bundle: &str, root: &str, name: &str) -> String {
    let file = PathBuf::from(bundle).join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("the bundle")).expect("JSON");
    config["process"]["terminal"] = json!(false);
    // A machine without CAP_SYS_RESOURCE cannot raise limits.
    config["process"]["rlimits"] = json!([]);
    fs::write(&file, config.to_string()).expect("the bundle");
    let id = format!("wharf-kind-{name}-{}", std::process::id());
    succeed(peers::command("runc").args(["--root", root, "run", "--bundle", bundle, &id]).stdin(Stdio::null()))
}

#[test]
fn runc_runs_the_bundle_of_oci_tools() {
    if !available(&["runc"]) || !is_root() {
        return;
    }
    let Some(place) = place() else { return };
    let result = build(&place, "bundle");
    // The store's own must not be changed, and its root file system may be written here.
    let bundle = place.path().join("copy");
    succeed(Command::new("cp").arg("-r").arg(result.join(".")).arg(&bundle));
    succeed(Command::new("chmod").args(["-R", "u+w"]).arg(&bundle));
    let root = place.path().join("runc").display().to_string();
    assert_eq!(run_bundle(&bundle.display().to_string(), &root, "bundle"), "bundle\n");
}

#[test]
fn each_kind_is_pulled_by_docker_podman_skopeo_and_containerd() {
    let (Some(docker), Some(podman), Some(containerd)) = (Docker::start(), Podman::new(), Containerd::start()) else {
        return;
    };
    let Some(theirs) = Registry::start(Access::Open) else { return };
    if !available(&["skopeo"]) {
        return;
    }
    let Some(place) = place() else { return };
    let ours = Served::start(&place);
    let merged = format!("docker-archive:{}:plain:1", build(&place, "merged").display());
    for host in [theirs.host(), ours.host.clone()] {
        for kind in KINDS {
            let reference = format!("{host}/kinds/{kind}:1");
            succeed(&mut place.wharf(["push", "./image.nix", "-A", kind, &reference]));
        }
        // An archive of several is pushed image by image.
        succeed(&mut place.wharf(["push", &merged, &format!("{host}/kinds/merged:1")]));
        for (kind, said) in KINDS.map(|kind| (kind, kind)).into_iter().chain([("merged", "plain")]) {
            let (reference, said) = (format!("{host}/kinds/{kind}:1"), format!("{said}\n"));
            docker.run(["pull", "--quiet", &reference]);
            assert_eq!(docker.run(["run", "--rm", "--network=none", &reference]), said, "docker, {reference}");
            podman.run(["pull", "--quiet", "--tls-verify=false", &reference]);
            assert_eq!(podman.run_container::<&str>(&reference, []), said, "podman, {reference}");
            containerd.run(["images", "pull", "--plain-http", &reference]);
            assert_eq!(containerd.run_container("default", &reference), said, "containerd, {reference}");
            let directory = format!("dir:{}", place.path().join(format!("{kind}-skopeo")).display());
            let from = format!("docker://{reference}");
            peers::run("skopeo", ["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false", &from, &directory]);
        }
    }
}
