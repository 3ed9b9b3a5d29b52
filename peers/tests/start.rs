//! The peers themselves come up and go down: what fails here is the machine, not Wharf.

use peers::{Access, Containerd, Docker, Podman, Registry, push_base_image};

#[test]
fn docker_starts_and_stops() {
    let Some(docker) = Docker::start() else { return };
    assert!(
        docker.run(["version", "--format", "{{.Server.Version}}"]).trim().starts_with(|c: char| c.is_ascii_digit())
    );
}

#[test]
fn containerd_starts_and_stops() {
    let Some(containerd) = Containerd::start() else { return };
    assert_eq!(containerd.run(["images", "ls", "--quiet"]), "");
}

#[test]
fn podman_has_storage_of_its_own() {
    let Some(podman) = Podman::new() else { return };
    assert_eq!(podman.run(["images", "--quiet"]), "");
}

#[test]
fn the_registry_answers() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let reached = std::net::TcpStream::connect(registry.host());
    assert!(reached.is_ok(), "{reached:?}");
}

#[test]
fn a_base_image_can_be_pulled_by_its_digest() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let Some(digest) = push_base_image(&registry, "library/alpine", "3.20") else { return };
    let by_digest = format!("docker://{}/library/alpine@{digest}", registry.host());
    let config = peers::run("skopeo", ["inspect", "--tls-verify=false", "--config", &by_digest]);
    assert!(config.contains("BASE_IMAGE=library/alpine"), "{config}");
}
