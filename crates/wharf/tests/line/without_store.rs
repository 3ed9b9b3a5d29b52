//! `wharf push --no-store`: from a binary cache to a registry, past the store; the same image as through it.

use std::fs;
use std::path::Path;

use peers::{Access, Registry, available, printed, run, succeed};
use serde_json::Value;

use crate::nix_cache::NixCache;
use crate::place::Place;

const DEFINITION: &str = r#"{ pkgs, ... }:
let tool = import ./tool.nix; in {
  layered = pkgs.dockerTools.buildLayeredImage {
    name = "layered";
    tag = "1";
    contents = [ tool ];
    config.Cmd = [ "/bin/tool" ];
    includeNixDB = true;
  };
  stream = pkgs.dockerTools.streamLayeredImage {
    name = "stream";
    tag = "1";
    contents = [ tool ];
    maxLayers = 2;
  };
  single = pkgs.dockerTools.buildImage {
    name = "single";
    tag = "1";
    copyToRoot = [ tool ];
    config.Cmd = [ "/bin/tool" ];
  };
  commands = pkgs.dockerTools.buildLayeredImage {
    name = "commands";
    tag = "1";
    contents = [ pkgs.dockerTools.binSh ];
    extraCommands = "echo made > file";
    config.Env = [ "TOOL=${tool}" ];
  };
}
"#;
/// Two objects with files of some size, links and a program. Only Nix builds them.
const TOOL: &str = r#"let
  make = name: more: text: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-e" "-c" text ];
  } // more);
  library = make "library" { } ''
    /bin/busybox mkdir -p $out/lib/empty
    /bin/busybox seq 1 1500000 > $out/lib/numbers
    echo > $out/lib/a-file
    /bin/busybox ln -s numbers $out/lib/link
  '';
in
make "tool" { inherit library; } ''
  /bin/busybox mkdir -p $out/bin $out/share/doc
  echo '#!/bin/sh' > $out/bin/tool
  /bin/busybox chmod +x $out/bin/tool
  /bin/busybox ln -s $library/lib $out/lib
  echo words > $out/share/doc/words
''
"#;

fn place() -> Option<(Place, NixCache)> {
    let place = Place::new(DEFINITION);
    place.write("tool.nix", TOOL);
    let cache = NixCache::new(&place)?;
    cache.add(&place.path().join("tool.nix"), &[]);
    Some((place, cache))
}

/// Pushes an attribute and gives the digest.
fn push(place: &Place, cache: &NixCache, home: &str, attribute: &str, reference: &str, more: &[&str]) -> String {
    let address = cache.address();
    let mut command = place.wharf(["push", "--json", "-f", "./image.nix", "-A", attribute, "--no-require-sigs"]);
    command.args(["--substituters", &address]).args(more).arg("").arg(reference);
    command.env("WHARF_HOME", place.path().join(home)).env("WHARF_CACHE", place.path().join(format!("{home}-cache")));
    let pushed: Value = serde_json::from_str(&succeed(&mut command)).expect("JSON");
    pushed["pushed"][0]["digest"].as_str().expect("a digest").to_owned()
}

/// The objects of a store that come from the cache.
fn taken(place: &Place, home: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path().join(home).join("nix/store")).expect("a store");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with("-tool") || name.ends_with("-library")).collect()
}

/// The bytes of all files below a directory.
fn size(directory: &Path) -> u64 {
    let metadata = fs::symlink_metadata(directory).expect("a file");
    match metadata.is_dir() {
        true => fs::read_dir(directory).expect("a directory").map(|entry| size(&entry.expect("an entry").path())).sum(),
        false => metadata.len(),
    }
}

#[test]
fn images_past_the_store_are_those_through_it() {
    let (Some(registry), Some((place, cache))) = (Registry::start(Access::Open), place()) else { return };
    if !available(&["skopeo"]) {
        return;
    }
    for (attribute, compression) in
        [("layered", "gzip"), ("stream", "zstd:chunked"), ("single", "zstd"), ("commands", "gzip")]
    {
        let reference = |way: &str| format!("{}/{way}/{attribute}:1", registry.host());
        let (past, through) = (reference("past"), reference("through"));
        let compressed = ["--compression", compression];
        let first = push(&place, &cache, "past", attribute, &past, &[&compressed[..], &["--no-store"]].concat());
        assert!(taken(&place, "past").is_empty(), "{attribute}: {:?}", taken(&place, "past"));
        // What is remembered of layers, and no layer.
        assert!(size(&place.path().join("past-cache/layers")) < 100_000);
        assert_eq!(first, push(&place, &cache, "through", attribute, &through, &compressed), "{attribute}");
        assert_eq!(taken(&place, "through").len(), 2);
        let layout = format!("oci:{}:1", place.path().join(format!("pulled-{attribute}")).display());
        let from = format!("docker://{past}");
        run("skopeo", ["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false", &from, &layout]);
        let again = push(&place, &cache, "past", attribute, &past, &[&compressed[..], &["--no-store"]].concat());
        assert_eq!(again, first);
    }
    let left: Vec<_> = fs::read_dir(place.path().join("past-cache")).expect("a cache").collect();
    assert!(
        left.iter().all(|entry| !entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with(".tmp"))
    );
}

#[test]
fn a_damaged_archive_is_not_tagged() {
    let (Some(registry), Some((place, cache))) = (Registry::start(Access::Open), place()) else { return };
    let archives = fs::read_dir(cache.directory().join("nar")).expect("archives");
    for archive in archives.map(|entry| entry.expect("an archive").path()) {
        // The same length and form, one letter of a file different.
        let plain = archive.with_extension("");
        succeed(peers::command("xz").args(["-d", "-k"]).arg(&archive));
        let mut bytes = fs::read(&plain).expect("the archive");
        let found = bytes.windows(6).position(|window| window == b"words\n" || window == b"12345\n");
        bytes[found.expect("a word")] = b'9';
        fs::write(&plain, bytes).expect("the archive");
        succeed(peers::command("xz").args(["-f"]).arg(&plain));
    }
    for info in fs::read_dir(cache.directory()).expect("a cache").map(|entry| entry.expect("an entry").path()) {
        if info.extension().is_some_and(|kind| kind == "narinfo") {
            let text = fs::read_to_string(&info).expect("a narinfo");
            let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("File")).collect();
            fs::write(&info, kept.join("\n") + "\n").expect("a narinfo");
        }
    }
    let reference = format!("{}/damaged:1", registry.host());
    let mut command = place.wharf(["push", "--no-store", "-f", "./image.nix", "-A", "layered", "--no-require-sigs"]);
    let output = command.args(["--substituters", &cache.address(), "", &reference]).output().expect("wharf starts");
    let text = printed(&output);
    assert!(!output.status.success() && text.contains("it should be sha256-"), "{text}");
    let tags = place.output(["tags", &reference]);
    assert!(!tags.status.success(), "{}", printed(&tags));
}

#[test]
fn what_nobody_has_signed_is_not_sent() {
    let (Some(registry), Some((place, cache))) = (Registry::start(Access::Open), place()) else { return };
    let reference = format!("{}/unsigned:1", registry.host());
    let mut command = place.wharf(["push", "--no-store", "-f", "./image.nix", "-A", "layered"]);
    let output = command.args(["--substituters", &cache.address(), "", &reference]).output().expect("wharf starts");
    let text = printed(&output);
    assert!(!output.status.success() && text.contains("not signed by a trusted key"), "{text}");
}
