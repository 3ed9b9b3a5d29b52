//! What a user gets for input that is wrong: what, where, why, what next; and nothing is kept.

use peers::{Access, Registry, printed, push_base_image};

use crate::place::Place;

/// Runs `wharf build` on a definition that must fail, and gives what it says on standard error.
fn refused(definition: &str) -> String {
    let place = Place::new(definition);
    refused_in(&place)
}

fn refused_in(place: &Place) -> String {
    let output = place.output(["build", "./image.nix"]);
    let message = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty() && !place.path().join("result").exists(), "{message}");
    let verified = place.output(["store", "verify"]);
    assert!(verified.status.success(), "the store is whole: {}", printed(&verified));
    message
}

/// Asserts that `text` has each of the parts.
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "«{part}» is missing in:\n{text}");
    }
}

#[test]
fn wrong_expressions_are_shown_with_their_place() {
    let cases: [(&str, &[&str]); 5] = [
        ("{ pkgs, ... }:\nlet x = ; in x\n", &["image.nix:2:9", "^"]),
        ("{ pkgs, ... }:\nlet greeting = \"x\"; in greetin\n", &["image.nix:2:24", "^", "'greeting'"]),
        ("{ pkgs, ... }:\npkgs.dockerTools.buildImag { }\n", &["image.nix:2:18", "^", "'buildImage'"]),
        (
            "{ pkgs, ... }:\npkgs.dockerTools.buildImage { name = \"x\"; configg = { }; }\n",
            &["image.nix:2:", "^", "'configg'", "'config'"],
        ),
        ("{ pkgs, ... }:\npkgs.callPackage ({ usrland }: usrland) { }\n", &["\"usrland\"", "\"userland\""]),
    ];
    for (definition, parts) in cases {
        says(&refused(definition), parts);
    }
}

#[test]
fn endless_expressions_end() {
    says(&refused("{ pkgs, ... }:\nlet a = b; b = a; in a\n"), &["infinite recursion", "image.nix:2"]);
    says(&refused("{ pkgs, ... }:\nlet f = x: f (x + 1) + 1; in f 0\n"), &["image.nix:2", "nested more than"]);
    says(&refused(&format!("{}1", "[ ".repeat(1_000_000))), &["error:"]);
}

#[test]
fn a_config_of_the_wrong_type_names_the_option_and_its_type() {
    let image = |config: &str| {
        refused(&format!(
            "{{ pkgs, ... }}:\npkgs.dockerTools.buildImage {{ name = \"x\"; config = {{ {config} }}; }}\n"
        ))
    };
    says(&image("ExposedPorts = [ \"80\" ];"), &["config.ExposedPorts", "set"]);
    says(&image("Cmd = \"sleep 1\";"), &["config.Cmd", "list"]);
    says(&image("Env = { A = \"b\"; };"), &["config.Env", "list"]);
    says(&image("Cmdd = [ ];"), &["Cmdd", "Cmd"]);
}

const ZERO: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_base_image_that_cannot_be_had_is_an_error_before_anything_is_kept() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let Some(digest) = push_base_image(&registry, "team/base", "1") else { return };
    let base = |digest: &str| {
        refused(&format!(
            "{{ pkgs, ... }}:\npkgs.dockerTools.pullImage {{ imageName = \"{}/team/base\"; imageDigest = \"{digest}\"; }}\n",
            registry.host()
        ))
    };
    says(&base("sha256:12ab"), &["imageDigest", "sha256:12ab"]);
    says(&base(ZERO), &[ZERO, "team/base"]);
    registry.damage(&digest);
    says(&base(&digest), &[&digest]);
}

#[test]
fn builders_that_misbehave_leave_nothing() {
    let build =
        |script: &str| refused(&format!("{{ pkgs, ... }}:\npkgs.runCommand \"bad\" {{ }} ''\n  {script}\n''\n"));
    says(&build("echo on the way; exit 9"), &["on the way", "status 9", "wharf log"]);
    // The builder itself is process 1 of its namespace, which no signal from inside kills.
    says(&build("sh -c 'kill -9 $$'"), &["status 137"]);
    says(&build("true"), &["bad", "output"]);
    says(&build("cp /bin/sh $out; chmod u+s $out"), &["not permitted"]);
    says(&build("mkfifo $out"), &["output 'out'", "unsupported type"]);
}
