//! What a binary cache has is taken; what it cannot give is built.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use build::{Options, Realise, Wanted};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::narinfo::Compression;
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use store::cache::{BinaryCache, CacheOptions, Directory, ExportOptions, Substituters, export};
use store::progress::Silent;
use store::{LocalStore, PathInfo, Store};

use crate::workshop::{Workshop, busybox};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[1; 32])
}

fn cache(directory: &Path, is_default: bool) -> Arc<Substituters> {
    let keys = Some([key().public_key()].into());
    let options = CacheOptions { keys, is_default, ..CacheOptions::default() };
    Arc::new(Substituters::new(vec![BinaryCache::new(Box::new(Directory::new(directory)), options)]))
}

/// A derivation over another, whose output is in a cache of its own, and a store that has only the derivations.
fn prepare(workshop: &Workshop, attribute: &str, value: &str) -> (StorePath, std::path::PathBuf, Arc<LocalStore>) {
    let (base, base_out) = workshop.recipe("base", "echo base > $out").add_with_output("out");
    let top = workshop
        .recipe("top", "echo $base > $out; head -c 9 /dev/urandom >> $out")
        .input(&base, "out")
        .set("base", &base_out.to_absolute())
        .set(attribute, value)
        .add();
    let copy = workshop.root().with_file_name("empty");
    let status = std::process::Command::new("cp").arg("-a").arg(workshop.root()).arg(&copy).status().unwrap();
    assert!(status.success());
    let out = workshop.build(&top).unwrap().outputs["out"].clone();
    let directory = workshop.root().with_file_name("cache");
    let options = ExportOptions { compression: Compression::Zstd, keys: &[key()], ..ExportOptions::default() };
    export(&*workshop.store, &[out], &Directory::new(&directory), &options, &Silent).unwrap();
    (top, directory, Arc::new(LocalStore::open(&copy).unwrap()))
}

fn realise(store: &Arc<LocalStore>, top: &StorePath, cache: Arc<Substituters>) -> (StorePath, Vec<StorePath>) {
    let options = Options { shell: busybox(), ..Options::new() };
    let builder = build::Builder::new(store.clone(), options).with_substituters(cache);
    let wanted = [Wanted::all(top.clone())];
    let missing = builder.missing(&wanted).unwrap();
    (builder.realise(&wanted).unwrap()[0].outputs["out"].clone(), missing)
}

#[test]
fn a_cache_spares_the_build() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "x", "y");
    let (out, missing) = realise(&store, &top, cache(&directory, false));
    assert!(missing.is_empty());
    let (here, there) = (store.require(&out).unwrap(), workshop.store.require(&out).unwrap());
    assert_eq!(here.nar_hash, there.nar_hash);
    assert!(!here.ultimate && there.ultimate);
}

#[test]
fn a_derivation_may_forbid_it() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "allowSubstitutes", "");
    let (out, missing) = realise(&store, &top, cache(&directory, false));
    assert_eq!(missing, [top]);
    assert_ne!(store.require(&out).unwrap().nar_hash, workshop.store.require(&out).unwrap().nar_hash);
}

#[test]
fn what_a_cache_gives_wrong_is_built() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "x", "y");
    for entry in std::fs::read_dir(directory.join("nar")).unwrap() {
        std::fs::write(entry.unwrap().path(), "nonsense").unwrap();
    }
    let (out, _) = realise(&store, &top, cache(&directory, false));
    assert!(store.require(&out).unwrap().ultimate);
}

#[test]
fn a_cache_that_nobody_has_named_is_not_asked_for_what_only_this_machine_builds() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "x", "y");
    // The builder is a source, as the carried shell is.
    let (out, missing) = realise(&store, &top, cache(&directory, true));
    assert_eq!(missing.len(), 2);
    assert!(store.require(&out).unwrap().ultimate);
}

#[test]
fn a_cache_that_nobody_has_named_is_asked_for_what_begins_with_a_download() {
    let Some(workshop) = Workshop::new() else { return };
    // A first shell that is downloaded, and a builder that it makes.
    let first = workshop.recipe("shell", "").builder("builtin:fetchurl").set("url", "file:///shell");
    let (first, shell) = first.fixed(Method::Flat, HashAlgo::Sha256, b"shell").add_with_output("out");
    let made = workshop.recipe("tool", "").builder(&shell.to_absolute()).input(&first, "out");
    let (tool, tool_out) = made.add_with_output("out");
    let top = workshop.recipe("top", "").builder(&tool_out.to_absolute()).input(&tool, "out");
    let (top, out) = top.add_with_output("out");
    let other = LocalStore::open(&workshop.root().with_file_name("other")).unwrap();
    let text = other.add_text("t", b"built elsewhere", &BTreeSet::new()).unwrap();
    let known = other.require(&text).unwrap();
    std::fs::rename(other.real_path(&text), other.real_path(&out)).unwrap();
    other.register(&[PathInfo { path: out.clone(), content_address: None, ..known }]).unwrap();
    let directory = workshop.root().with_file_name("cache");
    let options = ExportOptions { keys: &[key()], ..ExportOptions::default() };
    export(&other, std::slice::from_ref(&out), &Directory::new(&directory), &options, &Silent).unwrap();
    let (realised, missing) = realise(&workshop.store, &top, cache(&directory, true));
    assert_eq!((realised, missing), (out, Vec::new()));
}
