//! The rules of the house that a compiler does not check. Each failure says which file breaks which rule.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that may hold `unsafe` code, each block with its reason.
const UNSAFE_CRATES: [&str; 2] = ["eval", "sandbox"];

/// File names that say nothing of what the file holds.
const VAGUE_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "glue", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lives in the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The crates in the order of ARCHITECTURE.md's table: the order of the data.
fn crates_in_order() -> Vec<String> {
    let page = read(&root().join("ARCHITECTURE.md"));
    let (_, table) = page.split_once("<!-- crates:").expect("ARCHITECTURE.md marks its table of crates");
    let (table, _) = table.split_once("<!-- end of crates -->").expect("the table of crates has an end mark");
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_string()))
        .collect()
}

fn manifest(name: &str) -> toml::Table {
    let path = root().join("crates").join(name).join("Cargo.toml");
    read(&path).parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names of our own crates that `name` depends on, for building or (when `dev`) for its tests too.
fn edges(name: &str, known: &BTreeMap<String, usize>) -> Vec<String> {
    let manifest = manifest(name);
    let mut found = Vec::new();
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        if let Some(toml::Value::Table(table)) = manifest.get(section) {
            found.extend(table.keys().filter(|dep| known.contains_key(*dep)).cloned());
        }
    }
    found
}

/// Files that git tracks or would track, so that build output is not judged.
fn tracked_files() -> Vec<PathBuf> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    match out {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout)
            .lines()
            .map(|line| root().join(line))
            .filter(|path| path.is_file())
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_crate_is_in_the_table() {
    let table = crates_in_order();
    let mut present: Vec<String> = fs::read_dir(root().join("crates"))
        .expect("crates/")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    present.sort();
    let mut listed = table.clone();
    listed.sort();
    assert_eq!(present, listed, "crates/ and the table in ARCHITECTURE.md differ");
}

#[test]
fn a_crate_uses_only_crates_above_it() {
    let rank: BTreeMap<String, usize> = crates_in_order().into_iter().enumerate().map(|(i, name)| (name, i)).collect();
    for (name, own) in &rank {
        for dep in edges(name, &rank) {
            assert!(rank[&dep] < *own, "`{name}` uses `{dep}`, which stands below it in ARCHITECTURE.md's table");
        }
    }
}

#[test]
fn the_registry_server_does_not_use_the_registry_client() {
    let rank = crates_in_order().into_iter().enumerate().map(|(i, name)| (name, i)).collect();
    assert!(!edges("registry", &rank).contains(&"distribution".to_string()), "`registry` must not use `distribution`");
}

#[test]
fn unsafe_is_forbidden_outside_the_two_named_crates() {
    for name in crates_in_order() {
        if UNSAFE_CRATES.contains(&name.as_str()) {
            continue;
        }
        let inherits =
            manifest(&name).get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "`{name}` must take the workspace's lints, which forbid unsafe code");
    }
}

#[test]
fn every_crate_opens_with_what_it_is_for() {
    for name in crates_in_order() {
        let src = root().join("crates").join(&name).join("src");
        let lib = if src.join("lib.rs").exists() { src.join("lib.rs") } else { src.join("main.rs") };
        assert!(read(&lib).starts_with("//! "), "{} must open with its purpose", lib.display());
    }
}

#[test]
fn file_names_say_what_the_file_holds() {
    for path in tracked_files() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        assert!(!VAGUE_NAMES.contains(&stem.as_str()), "{}: the name says nothing", path.display());
    }
}

#[test]
fn decisions_are_numbered_once() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(root().join("docs/decisions")).expect("docs/decisions") {
        let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
        let number = name.split('-').next().unwrap_or_default().to_string();
        if let Some(other) = seen.insert(number, name.clone()) {
            panic!("{name} and {other} have the same number");
        }
    }
}
