//! From a definition into a registry, Debian's and our own, and from there into every client.

use std::path::Path;

use peers::{Access, Docker, Podman, Registry, available, succeed};
use serde_json::Value;

use crate::place::Place;
use crate::served::Served;

const DEFINITION: &str = r#"{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "pushed";
  tag = "1.0";
  contents = [ pkgs.userland ];
  config.Cmd = [ "/bin/echo" "pulled" ];
}
"#;

#[test]
fn an_image_is_pushed_once_and_every_client_pulls_it() {
    let (Some(theirs), Some(docker), Some(podman)) = (Registry::start(Access::Open), Docker::start(), Podman::new())
    else {
        return;
    };
    if !available(&["skopeo"]) {
        return;
    }
    let place = Place::new(DEFINITION);
    let ours = Served::start(&place);
    for host in [theirs.host(), ours.host.clone()] {
        let reference = format!("{host}/team/pushed:1.0");
        let digest = is_pushed_once(&place, &reference);
        assert_eq!(inspected(&reference)["Digest"], digest.as_str(), "{host}");
        docker.run(["pull", "--quiet", &reference]);
        assert_eq!(docker.run(["run", "--rm", "--network=none", &reference]), "pulled\n", "{host}");
        podman.run(["pull", "--quiet", "--tls-verify=false", &reference]);
        assert_eq!(podman.run_container::<&str>(&reference, []), "pulled\n", "{host}");
    }
    clients_push(&docker, &podman, &place, &ours.host);
}

/// Pushes twice; the second time nothing is sent. Gives the digest.
fn is_pushed_once(place: &Place, reference: &str) -> String {
    let push = || -> Value {
        let printed = succeed(&mut place.wharf(["push", "--json", "./image.nix", reference]));
        serde_json::from_str::<Value>(&printed).expect("JSON")["pushed"][0].take()
    };
    let (first, second) = (push(), push());
    assert!(first["bytesSent"].as_u64() > Some(0) && first["upToDate"] == false, "{first}");
    assert!(second["bytesSent"] == 0 && second["blobsSent"] == 0 && second["upToDate"] == true, "{second}");
    assert_eq!(first["digest"], second["digest"]);
    first["digest"].as_str().expect("a digest").to_owned()
}

fn inspected(reference: &str) -> Value {
    let printed = peers::run("skopeo", ["inspect", "--tls-verify=false", &format!("docker://{reference}")]);
    serde_json::from_str(&printed).expect("JSON")
}

/// What docker, podman and skopeo push to our registry is what `wharf pull` gets.
fn clients_push(docker: &Docker, podman: &Podman, place: &Place, host: &str) {
    let pulled = format!("{host}/team/pushed:1.0");
    for client in ["docker", "podman", "skopeo"] {
        let to = format!("{host}/from/{client}:2.0");
        match client {
            "docker" => drop((docker.run(["tag", &pulled, &to]), docker.run(["push", "--quiet", &to]))),
            "podman" => {
                drop((podman.run(["tag", &pulled, &to]), podman.run(["push", "--quiet", "--tls-verify=false", &to])));
            }
            _ => drop(peers::run(
                "skopeo",
                [
                    "copy",
                    "--quiet",
                    "--src-tls-verify=false",
                    "--dest-tls-verify=false",
                    &format!("docker://{pulled}"),
                    &format!("docker://{to}"),
                ],
            )),
        }
        let layout = format!("from-{client}");
        succeed(&mut place.wharf(["pull", &to, &layout]));
        assert!(Path::new(&place.path().join(layout)).join("oci-layout").is_file(), "{client}");
    }
}
