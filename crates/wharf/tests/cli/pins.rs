//! `wharf lock` and `wharf update`, with Debian's registry.

use std::fs;
use std::path::Path;

use peers::{Access, Registry, push_base_image, succeed};
use serde_json::Value;

use crate::{text, wharf};

fn run(home: &Path, arguments: &[&str]) -> String {
    succeed(wharf(home).current_dir(home).args(arguments))
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(home, &[arguments, &["--json"]].concat())).expect("JSON")
}

#[test]
fn digests_are_written_down_and_moved_only_by_update() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let Some(first) = push_base_image(&registry, "team/base", "1") else { return };
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let name = format!("{}/team/base", registry.host());
    let definition =
        format!("{{ pkgs }}: pkgs.dockerTools.pullImage {{ imageName = \"{name}\"; finalImageTag = \"1\"; }}\n");
    fs::write(home.join("image.nix"), &definition).expect("the definition");

    let output =
        wharf(home).current_dir(home).args(["eval", "./image.nix", "-A", "imageDigest"]).output().expect("wharf");
    assert!(text(&output).1.contains("`wharf lock` writes one"), "{}", text(&output).1);

    let locked = json(home, &["lock"]);
    assert_eq!(locked["images"][0]["after"], first.as_str());
    assert_eq!(run(home, &["eval", "--raw", "./image.nix", "-A", "imageDigest"]), first);
    run(home, &["build", "./image.nix", "--no-link"]);
    let file = fs::read(home.join("wharf.lock")).expect("the lock");

    let second = push_base_image(&registry, "team/base", "1").expect("a second image");
    assert_ne!(first, second, "the images differ by their time");
    assert_eq!(json(home, &["lock"])["images"], serde_json::json!([]), "what is written down stays");
    assert_eq!(fs::read(home.join("wharf.lock")).expect("the lock"), file);
    assert!(run(home, &["update"]).contains(&format!("{first} → {second}")));
    assert_eq!(run(home, &["eval", "--raw", "./image.nix", "-A", "imageDigest"]), second);
    assert_eq!(fs::read_to_string(home.join("image.nix")).expect("the definition"), definition, "no file was changed");

    run(home, &["lock", "--in-place"]);
    let pinned = definition.replace(&format!("\"{name}\";"), &format!("\"{name}\"; imageDigest = \"{second}\";"));
    assert_eq!(fs::read_to_string(home.join("image.nix")).expect("the definition"), pinned);
}

#[test]
fn a_hash_in_the_file_moves_with_its_digest() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let Some(first) = push_base_image(&registry, "base", "1") else { return };
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let old = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let zero = format!("sha256:{}", "0".repeat(64));
    let definition = format!(
        "{{ pkgs }}: pkgs.dockerTools.pullImage {{\n  imageName = \"{}/base\"; # the base\n  finalImageTag = \"1\";\n  \
         imageDigest = \"{zero}\";\n  sha256 = \"{old}\";\n}}\n",
        registry.host()
    );
    fs::write(home.join("image.nix"), &definition).expect("the definition");
    let other = wharf(home).current_dir(home).args(["update", "nothing"]).output().expect("wharf");
    assert!(text(&other).1.contains("no pullImage below . is of 'nothing'"), "{}", text(&other).1);
    run(home, &["update", "--in-place", "--in", "image.nix"]);
    let changed = fs::read_to_string(home.join("image.nix")).expect("the definition");
    let hash = changed.split("sha256 = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a hash");
    assert_eq!(changed, definition.replace(&zero, &first).replace(old, hash));
    // The builder checks it.
    run(home, &["build", "./image.nix", "--no-link"]);
}
