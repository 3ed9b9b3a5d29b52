//! The strategy's three containers on real input: packages are Debian's, fetched by apt and unpacked by Wharf's own builder;
//! base images are pulled by digest from a real registry that stands in for docker.io; each image is run by docker, by
//! podman and by Wharf.

mod engines;
mod services;
mod workplace;

use engines::Engine;
use services::{answers_ping, serves};
use workplace::Workplace;

/// The packages that the definitions use, by Debian's names.
const PACKAGES: [&str; 5] = ["git", "openssh-client", "ca-certificates", "nginx-light", "redis-server"];

#[test]
fn the_strategys_containers_run_everywhere() {
    let Some(workplace) = Workplace::set_up(&PACKAGES) else { return };
    let Some(engines) = Engine::all(&workplace) else { return };
    for name in ["ollama", "forgejo", "nextcloud"] {
        workplace.build(name);
    }
    workplace.flake_builds_all_of_them();
    for mut engine in engines {
        println!("with {}", engine.name());
        for name in ["ollama", "forgejo", "nextcloud"] {
            engine.load(&workplace.result(name));
        }
        forgejo_has_git_and_serves(&engine);
        ollama_answers(&engine);
        nextcloud_has_its_volumes_and_variables(&engine);
    }
}

fn forgejo_has_git_and_serves(engine: &Engine) {
    let version = engine.output("forgejo", &["git", "--version"]);
    assert!(version.starts_with("git version 2."), "{}: {version}", engine.name());
    let base = engine.output("forgejo", &["cat", "/etc/base-image"]);
    assert_eq!(base, "gitea/gitea", "{}: the base image's files are there", engine.name());
    let running = engine.start("forgejo", 3000);
    assert_eq!(serves(running.port()), "nginx of Debian\n", "{}", engine.name());
}

fn ollama_answers(engine: &Engine) {
    let running = engine.start("ollama", 11434);
    answers_ping(running.port());
}

fn nextcloud_has_its_volumes_and_variables(engine: &Engine) {
    let variables = engine.output("nextcloud", &["env"]);
    assert!(variables.contains("NEXTCLOUD_DATA_DIR=/data\n"), "{}: {variables}", engine.name());
    assert!(
        variables.contains("BASE_IMAGE=library/nextcloud\n"),
        "{}: the base's own are kept: {variables}",
        engine.name()
    );
    let mounts = engine.output("nextcloud", &["cat", "/proc/self/mounts"]);
    for volume in [" /data ", " /cache "] {
        assert!(mounts.contains(volume), "{}: {volume} is a volume: {mounts}", engine.name());
    }
    let running = engine.start("nextcloud", 80);
    assert_eq!(serves(running.port()), "nginx of Debian\n", "{}", engine.name());
}
