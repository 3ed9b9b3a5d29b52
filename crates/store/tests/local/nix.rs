//! Real Nix on our stores, and we on its.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::everything;
use store::local::{GcOptions, VerifyOptions};
use store::progress::Silent;
use store::{LocalStore, Store};

use crate::Fixture;

/// Whether the program is there; if not, says so, or fails where all peers must be there.
pub(crate) fn has_peer(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{program} is not installed");
    println!("skipped: needs {program}");
    false
}

pub(crate) fn nix_store(root: &Path, args: &[&str]) -> String {
    run("nix-store", root, &[&["--store", root.to_str().unwrap()], args].concat())
}

/// Runs a program of Nix's, which keeps a cache in the home directory.
pub(crate) fn run(program: &str, home: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("HOME", home).env_remove("NIX_REMOTE").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nix_finds_our_store_sound() {
    if !has_peer("nix-store") {
        return;
    }
    let fixture = Fixture::new();
    let source = fixture.source("source");
    let tree = fixture.store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
    let text = fixture.store.add_text("t", tree.to_string().as_bytes(), &BTreeSet::from([tree.clone()])).unwrap();
    nix_store(&fixture.root(), &["--verify", "--check-contents"]);
    let closure = nix_store(&fixture.root(), &["-qR", &text.to_string()]);
    assert_eq!(closure, format!("{tree}\n{text}\n"));
    let hash = nix_store(&fixture.root(), &["-q", "--hash", &tree.to_string()]);
    assert_eq!(hash.trim(), fixture.store.require(&tree).unwrap().nar_hash.to_prefixed_nix32());
    assert_eq!(
        nix_store(&fixture.root(), &["--add", source.to_str().unwrap()]).trim().len(),
        tree.to_string().len() + 5
    );
}

#[test]
fn our_collection_and_nix_s_respect_the_same_roots() {
    if !has_peer("nix-store") {
        return;
    }
    let fixture = Fixture::new();
    let link = fixture.dir.path().join("result");
    {
        let store = LocalStore::open(&fixture.root()).unwrap();
        let kept = store.add_text("kept", b"1", &BTreeSet::new()).unwrap();
        store.add_root(&link, &kept).unwrap();
        store.add_text("dead", b"2", &BTreeSet::new()).unwrap();
    }
    // A root that this process has said it needs, while Nix collects.
    let held = fixture.store.add_text("held", b"3", &BTreeSet::new()).unwrap();
    nix_store(&fixture.root(), &["--gc"]);
    let names =
        || fixture.store.all_paths().unwrap().iter().map(|path| path.name().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(), BTreeSet::from(["kept".to_owned(), "held".to_owned()]));
    assert!(fixture.store.real_path(&held).exists());

    let file = fixture.dir.path().join("file");
    std::fs::write(&file, "from nix").unwrap();
    nix_store(&fixture.root(), &["--add", file.to_str().unwrap()]);
    assert!(names().contains("file"));
    fixture.store.collect_garbage(&GcOptions::default(), &Silent).unwrap();
    assert!(!names().contains("file"));
}

#[test]
fn we_open_a_store_of_nix_s() {
    if !has_peer("nix-store") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let file = dir.path().join("file");
    std::fs::write(&file, "from nix").unwrap();
    let recursive = nix_store(&root, &["--add", file.to_str().unwrap()]);
    let flat = nix_store(&root, &["--add-fixed", "sha1", file.to_str().unwrap()]);
    let store = LocalStore::open(&root).unwrap();
    assert!(store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
    for (path, method, algo) in [(recursive, Method::Nar, HashAlgo::Sha256), (flat, Method::Flat, HashAlgo::Sha1)] {
        let path = StorePath::from_absolute(path.trim()).unwrap();
        assert_eq!(store.require(&path).unwrap().content_address.unwrap().method, method);
        assert_eq!(store.add_tree("file", &file, method, algo, &mut everything).unwrap(), path);
    }
}
