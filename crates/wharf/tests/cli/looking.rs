//! Looking into images: `wharf inspect`, `why` and `diff`.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::{text, wharf};

/// An application that needs a library, which is there in two versions, and a file that is there twice.
const DEFINITION: &str = r#"{ pkgs, version ? "1.0" }:
let
  library = pkgs.runCommand "library-${version}" { } "mkdir -p $out/lib; echo ${version} > $out/lib/code";
  app = pkgs.runCommand "app-2.0" { } ''
    mkdir -p $out/bin
    echo ${library}/lib/code > $out/bin/app
    seq 1 1000 > $out/numbers
  '';
in
pkgs.dockerTools.buildLayeredImage {
  name = "looked-at";
  tag = version;
  contents = [ app ];
  extraCommands = "seq 1 1000 > again; echo of ${version} > version";
  config.Cmd = [ "/bin/app" ];
}
"#;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("image.nix"), DEFINITION).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        wharf(self.path()).current_dir(self.path()).args(arguments).output().unwrap()
    }

    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", text(&output).1);
        text(&output).0
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.printed(&[arguments, &["--json"]].concat())).unwrap()
    }
}

#[test]
fn an_image_is_shown_with_what_it_holds_and_wastes() {
    let home = Home::new();
    let shown = home.json(&["inspect", "./image.nix"]);
    assert_eq!(shown["reference"], "looked-at:1.0");
    // `seq 1 1000` gives 3893 bytes, which are in two layers.
    assert_eq!(shown["wasted"], json!(3893));
    let layers = shown["layers"].as_array().unwrap();
    let parts: Vec<usize> = layers.iter().map(|layer| layer["parts"].as_object().unwrap().len()).collect();
    assert_eq!(parts, [1, 1, 4], "the library, the application, and what is at the root: {shown}");
    assert_eq!(layers[2]["weight"]["repeated"], json!(3893));
    assert_eq!(shown["largest"][0]["path"], "/again");
    let described = home.printed(&["inspect", "./image.nix"]);
    assert!(described.contains("wasted    3.80 KiB") && described.contains("-library-1.0"), "{described}");
    home.printed(&["build", "./image.nix"]);
    assert_eq!(home.json(&["inspect", "docker-archive:result:1.0"])["id"], shown["id"], "an archive is the same image");
    let raw: Value = serde_json::from_str(&home.printed(&["inspect", "--raw", "./result"])).unwrap();
    assert_eq!(raw["config"]["digest"], shown["id"]);
}

#[test]
fn the_page_has_a_map_and_escapes_names() {
    let home = Home::new();
    std::fs::write(
        home.path().join("image.nix"),
        r#"{ pkgs }: pkgs.dockerTools.buildImage { name = "x"; extraCommands = "echo 1 > '<b>&'"; }"#,
    )
    .unwrap();
    home.printed(&["inspect", "./image.nix", "--html", "page.html"]);
    let page = std::fs::read_to_string(home.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg ") && page.ends_with("</html>\n"));
    assert!(page.contains("/&lt;b&gt;&amp;") && !page.contains("<b>"), "{page}");
}

#[test]
fn the_chain_to_a_package_names_files() {
    let home = Home::new();
    let found = home.json(&["why", "./image.nix", "library"]);
    let chain: Vec<_> = found["found"][0]["chain"].as_array().unwrap().iter().map(|step| &step["file"]).collect();
    assert_eq!(chain[0], "/bin/app");
    assert!(chain[1].as_str().unwrap().ends_with("-app-2.0/bin/app"), "{found}");
    assert!(home.printed(&["why", "./image.nix", "/bin/app"]).contains("-app-2.0"));
    assert!(home.printed(&["why", "./image.nix", "/version"]).contains("at the image's root"));
    let (stdout, stderr) = text(&home.run(&["why", "./image.nix", "openssl"]));
    assert!(stdout.is_empty() && stderr.contains("the image has no 'openssl'"), "{stderr}");
}

#[test]
fn a_difference_names_packages_files_and_what_a_push_sends() {
    let home = Home::new();
    home.printed(&["build", "./image.nix", "-o", "before"]);
    home.printed(&["build", "./image.nix", "--argstr", "version", "1.1", "-o", "after"]);
    let described = home.printed(&["diff", "./before", "./after"]);
    for line in ["~ library 1.0 → 1.1  4 B → 4 B", "~ app 2.0, built anew", "~ /version  7 B → 7 B", "in 3 layers"]
    {
        assert!(described.contains(line), "{line} is not in {described}");
    }
    let same = home.json(&["diff", "./before", "./image.nix"]);
    assert_eq!(same["difference"]["push"], json!({ "bytes": 0, "atMost": false }));
    assert_eq!(same["difference"]["packages"], json!([]));
}
