//! One image for several platforms: evaluated for each, taken from a binary cache, put together as an index.

use peers::{Access, Registry, available, run, succeed};
use serde_json::{Value, json};

use crate::nix_cache::NixCache;
use crate::place::Place;

/// What nobody here can build for another processor; the image for this one can be run.
const DEFINITION: &str = r#"{ pkgs, system, ... }:
let tool = import ./tool.nix { inherit system; }; in
pkgs.dockerTools.buildLayeredImage {
  name = "both";
  tag = "1.0";
  system = [ "aarch64-linux" "x86_64-linux" ];
  contents = if system == "x86_64-linux" then [ pkgs.userland ] else [ ];
  config.Cmd = [ "/bin/cat" "${tool}" ];
}
"#;
const TOOL: &str = r#"{ system }: derivation {
  name = "tool";
  inherit system;
  builder = "/bin/sh";
  args = [ "-c" "echo a tool for ${system} > $out" ];
}
"#;

/// A binary cache with the tool for both.
fn both() -> Option<(Place, String)> {
    if !available(&["skopeo"]) {
        return None;
    }
    let place = Place::new(DEFINITION);
    place.write("tool.nix", TOOL);
    let cache = NixCache::new(&place)?;
    for system in ["x86_64-linux", "aarch64-linux"] {
        cache.add(&place.path().join("tool.nix"), &["--argstr", "system", system]);
    }
    Some((place, cache.address()))
}

fn wharf(place: &Place, address: &str, arguments: &[&str]) -> String {
    let cache = ["--substituters", address, "--no-require-sigs"];
    let (first, rest) = arguments.split_first().expect("a command");
    succeed(&mut place.wharf([first].into_iter().copied().chain(cache).chain(rest.iter().copied())))
}

/// The platforms of an index.
fn platforms(index: &str) -> Vec<String> {
    let index: Value = serde_json::from_str(index).expect("JSON");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json", "{index}");
    let entries = index["manifests"].as_array().expect("manifests").iter();
    entries.map(|entry| entry["platform"]["architecture"].as_str().expect("a processor").to_owned()).collect()
}

#[test]
fn an_image_for_two_systems_is_built_pushed_and_run() {
    let Some((place, address)) = both() else { return };
    let built: Value =
        serde_json::from_str(&wharf(&place, &address, &["build", "--json", "./image.nix"])).expect("JSON");
    let result = &built["results"][0];
    assert_eq!(result["image"]["platform"], "linux/amd64");
    let each: Vec<_> = result["platforms"].as_array().expect("platforms").iter().map(|one| &one["platform"]).collect();
    assert_eq!(each, [&json!("linux/arm64"), &json!("linux/amd64")]);
    is_in_archives(&place, &address);
    is_at_a_registry(&place, &address);
    // Of those in the index, the one for this machine.
    assert_eq!(wharf(&place, &address, &["run", "--network=none", "./image.nix"]), "a tool for x86_64-linux\n");
}

/// One archive has both; docker's part of it only what this machine runs.
fn is_in_archives(place: &Place, address: &str) {
    for (format, transport) in [("archive", "oci-archive"), ("oci-archive", "oci-archive"), ("oci-layout", "oci")] {
        let link = format!("result-{format}");
        wharf(place, address, &["build", "--format", format, "-o", &link, "./image.nix"]);
        let source =
            format!("{transport}:{}:1.0", place.path().join(&link).canonicalize().expect("a result").display());
        assert_eq!(platforms(&run("skopeo", ["inspect", "--raw", &source])), ["arm64", "amd64"], "{format}");
        for architecture in ["amd64", "arm64"] {
            let arguments = ["--override-arch", architecture, "inspect", "--config", &source];
            let config: Value = serde_json::from_str(&run("skopeo", arguments)).expect("JSON");
            assert_eq!(config["architecture"], architecture, "{format}");
        }
    }
    let source =
        format!("docker-archive:{}", place.path().join("result-archive").canonicalize().expect("a result").display());
    let config: Value = serde_json::from_str(&run("skopeo", ["inspect", "--config", &source])).expect("JSON");
    assert_eq!(config["architecture"], "amd64");
}

fn is_at_a_registry(place: &Place, address: &str) {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let reference = format!("{}/team/both:1.0", registry.host());
    let push = || -> Value {
        let printed = wharf(place, address, &["push", "--json", "./image.nix", &reference]);
        serde_json::from_str::<Value>(&printed).expect("JSON")["pushed"][0].take()
    };
    let (first, second) = (push(), push());
    assert!(first["bytesSent"].as_u64() > Some(0) && first["upToDate"] == false, "{first}");
    assert!(second["bytesSent"] == 0 && second["upToDate"] == true, "{second}");
    let remote = format!("docker://{reference}");
    let index = run("skopeo", ["inspect", "--tls-verify=false", "--raw", &remote]);
    assert_eq!(platforms(&index), ["arm64", "amd64"]);
    let raw = succeed(&mut place.wharf(["inspect", "--raw", "./image.nix"]));
    assert_eq!(raw, index, "what is pushed is what `inspect --raw` shows");
    for architecture in ["amd64", "arm64"] {
        let layout = format!("oci:{}:1", place.path().join(format!("pulled-{architecture}")).display());
        let from = ["--override-arch", architecture, "copy", "--quiet", "--src-tls-verify=false", &remote, &layout];
        run("skopeo", from.into_iter().chain(["--insecure-policy"]));
    }
    let printed = succeed(&mut place.wharf(["inspect", "--json", "./image.nix"]));
    let inspected: Value = serde_json::from_str(&printed).expect("JSON");
    let shown: Vec<_> = inspected["platforms"]
        .as_array()
        .expect("platforms")
        .iter()
        .map(|one| &one["config"]["architecture"])
        .collect();
    assert_eq!(shown, [&json!("arm64"), &json!("amd64")]);
}

#[test]
fn a_system_that_nothing_is_for_is_an_error() {
    let place = Place::new(&DEFINITION.replace("\"x86_64-linux\" ];", "\"vax-linux\" ];"));
    place.write("tool.nix", TOOL);
    let output = place.output(["build", "./image.nix"]);
    let text = peers::printed(&output);
    assert!(
        !output.status.success() && text.contains("buildLayeredImage: system") && text.contains("vax-linux"),
        "{text}"
    );
    let place = Place::new(&DEFINITION.replace(" \"x86_64-linux\" ];", " ];"));
    place.write("tool.nix", TOOL);
    // Nothing is emulated, and no cache has it.
    let output = place.output(["build", "--substituters", "", "./image.nix"]);
    let text = peers::printed(&output);
    assert!(!output.status.success() && text.contains("a 'aarch64-linux' machine"), "{text}");
}
