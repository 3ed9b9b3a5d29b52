//! From a definition to an archive: what `wharf eval` and `wharf build` print and leave.

use std::path::Path;
use std::process::Output;

use crate::{text, wharf};

const DEFINITION: &str = r#"{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "Greeter";
  tag = "1.2";
  config.Cmd = [ "${pkgs.userland}/bin/sh" "-c" "echo hello" ];
}
"#;

/// Runs wharf in a directory that is home, store and cache at once.
fn run(home: &Path, arguments: &[&str]) -> Output {
    wharf(home).current_dir(home).args(arguments).output().unwrap()
}

#[test]
fn the_strategy_s_way_to_ask_for_a_tag_works() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("greeter.nix"), DEFINITION).unwrap();
    let output = run(home.path(), &["eval", "--raw", "./greeter.nix", "-A", "tag"]);
    assert_eq!(text(&output).0, "1.2", "{}", text(&output).1);
}

#[test]
fn a_missing_package_says_where_others_come_from() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("x.nix"), "{ pkgs, ... }: pkgs.gitea").unwrap();
    let output = run(home.path(), &["build", "./x.nix"]);
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("attribute 'gitea' is missing") && stderr.contains("--pkgs"), "{stderr}");
}

#[test]
fn an_image_is_built_once_and_its_archive_is_a_tar() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("greeter.nix"), DEFINITION).unwrap();
    let first = run(home.path(), &["build", "--json", "./greeter.nix"]);
    let (stdout, stderr) = text(&first);
    assert!(first.status.success(), "{stderr}");
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let image = &result["results"][0]["image"];
    assert_eq!((image["name"].as_str(), image["tag"].as_str()), (Some("greeter"), Some("1.2")));
    assert!(image["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(home.path().join("result").metadata().unwrap().len() > 10_000);
    let again = run(home.path(), &["build", "--json", "./greeter.nix"]);
    assert_eq!(text(&again).0, stdout);
    assert!(!text(&again).1.contains("building"), "{}", text(&again).1);
}
