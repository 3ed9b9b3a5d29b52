//! What a binary cache has is taken; what it cannot give is built.

use std::path::Path;
use std::sync::Arc;

use build::{Options, Wanted};
use nix_formats::narinfo::Compression;
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use store::cache::{BinaryCache, Directory, ExportOptions, export};
use store::progress::Silent;
use store::{LocalStore, Store};

use crate::workshop::{Workshop, busybox};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[1; 32])
}

fn cache(directory: &Path) -> Arc<BinaryCache> {
    let cache = BinaryCache::open(Box::new(Directory::new(directory)), Some(vec![key().public_key()]));
    Arc::new(cache.unwrap())
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
    let options = ExportOptions { compression: Compression::Zstd, key: Some(&key()) };
    export(&*workshop.store, &[out], &directory, &options, &Silent).unwrap();
    (top, directory, Arc::new(LocalStore::open(&copy).unwrap()))
}

fn realise(store: &Arc<LocalStore>, top: &StorePath, cache: Arc<BinaryCache>) -> (StorePath, Vec<StorePath>) {
    let options = Options { shell: busybox(), ..Options::new() };
    let builder = build::Builder::new(store.clone(), options).with_cache(cache);
    let wanted = [Wanted::all(top.clone())];
    let missing = builder.missing(&wanted).unwrap();
    (builder.realise(&wanted).unwrap()[0].outputs["out"].clone(), missing)
}

#[test]
fn a_cache_spares_the_build() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "x", "y");
    let (out, missing) = realise(&store, &top, cache(&directory));
    assert!(missing.is_empty());
    let (here, there) = (store.require(&out).unwrap(), workshop.store.require(&out).unwrap());
    assert_eq!(here.nar_hash, there.nar_hash);
    assert!(!here.ultimate && there.ultimate);
}

#[test]
fn a_derivation_may_forbid_it() {
    let Some(workshop) = Workshop::new() else { return };
    let (top, directory, store) = prepare(&workshop, "allowSubstitutes", "");
    let (out, missing) = realise(&store, &top, cache(&directory));
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
    let (out, _) = realise(&store, &top, cache(&directory));
    assert!(store.require(&out).unwrap().ultimate);
}
