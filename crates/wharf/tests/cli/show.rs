//! Flakes on the command line: `wharf show`, and where `wharf eval` looks for a name.

use std::path::Path;
use std::process::Output;

use crate::{text, wharf};

const FLAKE: &str = r#"{
  description = "A test";
  nixConfig.extra-substituters = [ "https://example.org" ];
  outputs = { self }:
    let mk = system: name: derivation { inherit name system; builder = "/bin/sh"; } // { meta.description = "About ${name}"; };
    in {
      packages.x86_64-linux = { default = mk "x86_64-linux" "web-1.0"; tool = self.packages.x86_64-linux.default; };
      packages.aarch64-linux.default = mk "aarch64-linux" "web-1.0";
      checks.x86_64-linux = { };
      devShells.x86_64-linux.default = mk "x86_64-linux" "shell";
      apps.x86_64-linux.default = { type = "app"; program = "/bin/x"; };
      containers.web = mk "x86_64-linux" "image";
      overlays.default = final: prev: { };
      nixosModules.web = { };
      templates.new = { description = "Begin"; path = ./.; };
      legacyPackages.x86_64-linux.old = mk "x86_64-linux" "old-1";
      lib.answer = 42;
      tool = "not this one";
    };
}
"#;

fn run(home: &Path, arguments: &[&str]) -> Output {
    wharf(home).current_dir(home).args(arguments).output().unwrap()
}

fn flake() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("f")).unwrap();
    std::fs::write(home.path().join("f/flake.nix"), FLAKE).unwrap();
    home
}

#[test]
fn the_tree_names_every_output() {
    let home = flake();
    let (stdout, stderr) = text(&run(home.path(), &["show", "./f", "--system", "x86_64-linux"]));
    let (first, rest) = stdout.split_once('\n').unwrap_or_else(|| panic!("{stderr}"));
    assert!(first.starts_with("path:/"), "{first}");
    let expected = "\
├───apps
│   └───x86_64-linux
│       └───default: app: no description
├───containers
│   └───web: container image 'image': About image
├───devShells
│   └───x86_64-linux
│       └───default: development environment 'shell': About shell
├───legacyPackages
│   └───x86_64-linux omitted (use '--legacy' to show)
├───lib: unknown
├───nixosModules
│   └───web: NixOS module
├───overlays
│   └───default: Nixpkgs overlay
├───packages
│   ├───aarch64-linux
│   │   └───default omitted (use '--all-systems' to show)
│   └───x86_64-linux
│       ├───default: package 'web-1.0': About web-1.0
│       └───tool: package 'web-1.0': About web-1.0
├───templates
│   └───new: template: Begin
└───tool: unknown
";
    assert_eq!(rest, expected);
    assert!(stderr.contains("nixConfig is not applied (extra-substituters)"), "{stderr}");
}

#[test]
fn json_has_nix_s_form() {
    let home = flake();
    let (stdout, _) = text(&run(home.path(), &["show", "--json", "--all-systems", "--legacy", "./f"]));
    let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let package = serde_json::json!({ "type": "derivation", "name": "web-1.0", "description": "About web-1.0" });
    assert_eq!(shown["packages"]["aarch64-linux"]["default"], package);
    assert_eq!(shown["overlays"]["default"], serde_json::json!({ "type": "nixpkgs-overlay" }));
    assert_eq!(shown["legacyPackages"]["x86_64-linux"]["old"]["name"], "old-1");
    assert_eq!(shown.get("checks"), None);
}

#[test]
fn what_fails_is_shown_among_the_rest() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("f")).unwrap();
    let flake = "{ outputs = { self }: { checks.x86_64-linux.broken = throw \"not today\"; templates = 1;
        lib = { }; packages.x86_64-linux.a = derivation { name = \"a\"; system = \"s\"; builder = \"b\"; }; }; }";
    std::fs::write(home.path().join("f/flake.nix"), flake).unwrap();
    let output = run(home.path(), &["show", "./f", "--system", "x86_64-linux"]);
    let (stdout, stderr) = text(&output);
    assert!(!output.status.success());
    assert!(stdout.contains("broken: fails: not today") && stdout.contains("a: package 'a'"), "{stdout}{stderr}");
    assert!(stderr.contains("wharf eval './f#.checks.x86_64-linux.broken'"), "{stderr}");
    let output = run(home.path(), &["show", "--json", "./f", "--system", "x86_64-linux"]);
    let shown: serde_json::Value = serde_json::from_str(&text(&output).0).unwrap();
    assert!(!output.status.success());
    assert_eq!(shown["checks"]["x86_64-linux"]["broken"]["error"], "not today");
}

#[test]
fn what_is_read_is_built_from_sources_that_are_not_in_the_store() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("source")).unwrap();
    std::fs::write(home.path().join("source/value"), "42").unwrap();
    let program = "import (derivation { name = \"read\"; system = \"x86_64-linux\"; builder = \"/bin/sh\";
        args = [ (builtins.toFile \"script\" \"read -r value < $source/value; echo $value > $out\") ]; source = ./source; })";
    let (stdout, stderr) = text(&run(home.path(), &["eval", "-E", program]));
    if stdout.is_empty() && stderr.contains("namespace") {
        return crate::missing("user namespaces");
    }
    assert_eq!(stdout, "42\n", "{stderr}");
}

#[test]
fn names_are_looked_for_in_nix_s_order() {
    let home = flake();
    let eval = |name: &str| {
        let output = run(home.path(), &["eval", "--system", "x86_64-linux", &format!("./f#{name}"), "-q"]);
        text(&output)
    };
    assert!(eval("").0.contains("web-1.0.drv"), "{}", eval("").1);
    // A package comes before an output of the same name; a dot at the beginning asks for exactly that.
    assert!(eval("tool").0.contains("web-1.0.drv"));
    assert_eq!(eval(".tool").0, "\"not this one\"\n");
    assert!(eval("old").0.contains("old-1.drv"));
    assert!(eval("web").0.contains("image.drv"));
    assert_eq!(eval("lib.answer").0, "42\n");
    let (_, stderr) = eval("tol");
    assert!(stderr.contains("does not provide attribute 'packages.x86_64-linux.tol'"), "{stderr}");
    assert!(stderr.contains("'legacyPackages.x86_64-linux.tol'") && stderr.contains("did you mean 'tool'"), "{stderr}");
}

#[test]
fn a_flake_sees_its_own_files_and_itself_alone() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("f")).unwrap();
    std::fs::write(home.path().join("secret"), "s").unwrap();
    let flake = format!(
        "{{ outputs = {{ self }}: {{ own = self.inputs.self.outPath == self.outPath; env = builtins.getEnv \"HOME\";
           out = builtins.readFile {}/secret; }}; }}",
        home.path().display()
    );
    std::fs::write(home.path().join("f/flake.nix"), flake).unwrap();
    assert_eq!(text(&run(home.path(), &["eval", "./f#env"])).0, "\"\"\n");
    let (_, stderr) = text(&run(home.path(), &["eval", "./f#out"]));
    assert!(stderr.contains("pure evaluation") && stderr.contains("--impure"), "{stderr}");
    assert_eq!(text(&run(home.path(), &["eval", "--impure", "./f#out"])).0, "\"s\"\n");
}

#[test]
fn values_are_printed_on_one_line_and_applied_and_written() {
    let home = tempfile::tempdir().unwrap();
    let eval = |arguments: &[&str]| text(&run(home.path(), &[&["eval"], arguments].concat()));
    let (stdout, stderr) = eval(&["-E", "{ a = { b = [ 1 2 ]; }; e = throw \"no\"; }"]);
    assert_eq!(stdout, "{ a = { b = [ 1 2 ]; }; e = «error: no»; }\n", "{stderr}");
    assert_eq!(eval(&["-E", "{ a = 1; }", "--apply", "builtins.attrNames"]).0, "[ \"a\" ]\n");
    let (_, stderr) = eval(&["-E", "{ a = \"x\"; d.b = \"y\"; }", "--write-to", "out"]);
    assert_eq!(std::fs::read_to_string(home.path().join("out/d/b")).unwrap_or(stderr), "y");
    for bad in ["{ \"..\" = \"x\"; }", "{ \"a/b\" = \"x\"; }", "1"] {
        assert!(!run(home.path(), &["eval", "-E", bad, "--write-to", "bad"]).status.success(), "{bad}");
        let _ = std::fs::remove_dir_all(home.path().join("bad"));
    }
}

#[test]
fn pkgs_of_a_file_is_what_its_lock_file_pins() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("project/pkgs")).unwrap();
    let write = |file: &str, content: &str| std::fs::write(home.path().join(file), content).unwrap();
    write("project/pkgs/default.nix", "{ system, config, ... }: { from = \"lock\"; }");
    write("other.nix", "{ from = \"flag\"; }");
    write("channel.nix", "{ from = \"path\"; }");
    write("project/x.nix", "{ pkgs, ... }: pkgs.from or \"built in\"");
    let eval = |arguments: &[&str]| {
        let output = run(home.path(), &[&["eval", "--raw", "project/x.nix", "-v"], arguments].concat());
        text(&output)
    };
    assert_eq!(eval(&[]).0, "built in");
    assert_eq!(eval(&["-I", "nixpkgs=channel.nix"]).0, "path");
    write(
        "project/flake.lock",
        r#"{"nodes":{"root":{"inputs":{"nixpkgs":"n"}},"n":{
            "locked":{"type":"path","path":"./pkgs"},"original":{"type":"path","path":"./pkgs"},"parent":[]}},
            "root":"root","version":7}"#,
    );
    let (stdout, stderr) = eval(&["-I", "nixpkgs=channel.nix"]);
    assert_eq!(stdout, "lock", "{stderr}");
    assert!(stderr.contains("flake.lock"), "-v says where pkgs comes from: {stderr}");
    assert_eq!(eval(&["--pkgs", "other.nix"]).0, "flag");
    assert_eq!(eval(&["--pkgs", "<wharf>"]).0, "built in");
}

#[test]
fn several_derivations_are_given_in_their_order() {
    let home = tempfile::tempdir().unwrap();
    let program = "let shared = derivation { name = \"shared\"; system = \"s\"; builder = \"b\"; };
        in builtins.listToAttrs (builtins.genList (i: { name = \"n${toString i}\"; value = derivation {
          name = \"d${toString i}\"; system = \"s\"; builder = \"b\"; inherit shared; }; }) 50)";
    let instantiate = |text_of: &str| text(&run(home.path(), &["instantiate", "-E", text_of]));
    let (stdout, stderr) = instantiate(program);
    let mut expected: Vec<String> = (0..50).map(|i| format!("n{i}")).collect();
    expected.sort();
    let names: Vec<String> = stdout.lines().map(|line| line.split_once("-d").unwrap().1.replace(".drv", "")).collect();
    assert_eq!(names, expected.iter().map(|name| name[1..].to_owned()).collect::<Vec<_>>(), "{stderr}");
    // Of several errors it is the first.
    let (_, stderr) = instantiate("{ c = throw \"third\"; a = { }; b = throw \"second\"; }");
    assert!(stderr.contains("error: second") && !stderr.contains("error: third"), "{stderr}");
}
