//! The built-in package set: its library's values, and what its builders make.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{text, wharf};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nix/tests").canonicalize().expect("the directory of cases")
}

/// Each place where two trees of values differ.
fn differences(path: &str, found: &Value, expected: &Value, list: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) if found.len() == expected.len() => {
            for (name, expected) in expected {
                differences(&format!("{path}.{name}"), found.get(name).unwrap_or(&Value::Null), expected, list);
            }
        }
        _ if found == expected => {}
        _ => list.push(format!("{path}:\n  found    {found}\n  expected {expected}")),
    }
}

#[test]
fn the_library_gives_the_values_that_nixpkgs_gives() {
    let home = tempfile::tempdir().expect("a directory");
    let expression = format!("import {}/run.nix {{ }}", cases().display());
    let output =
        wharf(home.path()).args(["eval", "--json", "--strict", "--expr", &expression]).output().expect("wharf runs");
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    let found: Value = serde_json::from_str(&stdout).expect("JSON");
    let mut list = Vec::new();
    for file in ["lib-cases", "module-cases"] {
        let golden = std::fs::read_to_string(cases().join(file).with_extension("json")).expect("values");
        differences(file, &found[file], &serde_json::from_str(&golden).expect("JSON"), &mut list);
    }
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn the_builders_make_what_they_say() {
    let home = tempfile::tempdir().expect("a directory");
    let output = wharf(home.path())
        .arg("build")
        .arg(cases().join("builders.nix"))
        .arg("--no-link")
        .output()
        .expect("wharf runs");
    let (_, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
}
