//! Binary caches: ours and Nix's, each read by both.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use store::cache::{BinaryCache, CacheError, CacheOptions, Directory, ExportOptions, Substituters, WithCaches, export};
use store::fs_nar::everything;
use store::local::VerifyOptions;
use store::progress::Silent;
use store::{LocalStore, PathInfo, Store};

use crate::Fixture;
use crate::nix::{has_peer, nix_store, run};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[1; 32])
}

/// A tree that is no source, and a text that refers to it.
fn objects(fixture: &Fixture) -> StorePath {
    let source = fixture.source("source");
    let tree = fixture.store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
    // Without its content address it needs a signature.
    let known = fixture.store.require(&tree).unwrap();
    fixture.store.register(&[PathInfo { content_address: None, ..known }]).unwrap();
    fixture.store.add_text("t", tree.to_string().as_bytes(), &BTreeSet::from([tree])).unwrap()
}

fn exported(fixture: &Fixture, compression: Compression, key: Option<&SecretKey>) -> (StorePath, std::path::PathBuf) {
    let path = objects(fixture);
    let directory = fixture.dir.path().join("cache");
    let keys: Vec<SecretKey> = key.map(|key| SecretKey::parse(&key.expose()).unwrap()).into_iter().collect();
    let options = ExportOptions { compression, keys: &keys, ..ExportOptions::default() };
    let (paths, cache) = (std::slice::from_ref(&path), Directory::new(&directory));
    assert_eq!(export(&fixture.store, paths, &cache, &options, &Silent).unwrap().len(), 2);
    assert!(export(&fixture.store, paths, &cache, &options, &Silent).unwrap().is_empty());
    (path, directory)
}

fn open(directory: &Path, signed: bool) -> Substituters {
    let options = CacheOptions { keys: signed.then(|| [key().public_key()].into()), ..CacheOptions::default() };
    Substituters::new(vec![BinaryCache::new(Box::new(Directory::new(directory)), options)])
}

/// Takes an object with all it refers to.
fn take(caches: &Substituters, path: &StorePath, to: &Fixture) -> Result<Vec<StorePath>, CacheError> {
    caches.take([path.clone()], &to.store, &Silent)
}

#[test]
fn every_compression_is_read_back() {
    for compression in Compression::ALL {
        let from = Fixture::new();
        let (path, directory) = exported(&from, compression, Some(&key()));
        let to = Fixture::new();
        let cache = open(&directory, true);
        assert_eq!(take(&cache, &path, &to).unwrap().len(), 2, "{compression:?}");
        assert!(take(&cache, &path, &to).unwrap().is_empty());
        assert!(to.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
        assert_eq!(to.store.require(&path).unwrap().references, from.store.require(&path).unwrap().references);
    }
}

#[test]
fn what_is_read_on_the_way_is_kept_and_comes_once() {
    let from = Fixture::new();
    let (text, directory) = exported(&from, Compression::Zstd, Some(&key()));
    let tree = from.store.require(&text).unwrap().references.pop_first().unwrap();
    let expected = |path| {
        let mut nar = Vec::new();
        from.store.write_nar(path, &mut nar).unwrap();
        nar
    };
    let infos = || {
        [&text, &tree].map(|path| {
            let file = directory.join(format!("{}.narinfo", path.hash_part()));
            NarInfo::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
        })
    };
    let to = Fixture::new();
    let root = to.store.root().to_owned();
    let store = Arc::new(LocalStore::open(&root).unwrap());
    let caches = Arc::new(open(&directory, true));
    let view = WithCaches::new(Arc::clone(&store) as _, Arc::clone(&caches), Arc::new(Silent), infos());
    let view = view.keeping(Arc::clone(&store));
    let read = |path| {
        let mut nar = Vec::new();
        view.write_nar(path, &mut nar).unwrap();
        assert_eq!(nar, expected(path));
    };
    read(&text);
    // What it refers to is not there.
    assert!(!store.is_valid(&text).unwrap());
    std::fs::remove_file(directory.join(&infos()[0].url)).unwrap();
    read(&text);
    read(&tree);
    assert!(store.is_valid(&text).unwrap() && store.is_valid(&tree).unwrap());
    std::fs::remove_dir_all(directory.join("nar")).unwrap();
    [&text, &tree].into_iter().for_each(read);
    assert!(store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
}

#[test]
fn what_was_read_on_the_way_is_taken_without_the_cache() {
    let from = Fixture::new();
    let (text, directory) = exported(&from, Compression::Xz, Some(&key()));
    let file = directory.join(format!("{}.narinfo", text.hash_part()));
    let info = NarInfo::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let to = Fixture::new();
    let nar = |bytes: &mut Vec<u8>| from.store.write_nar(&text, bytes).unwrap();
    let mut bytes = Vec::new();
    nar(&mut bytes);
    let mut damaged = bytes.clone();
    *damaged.iter_mut().rev().find(|byte| **byte == b'-').unwrap() = b'+';
    to.store.prepare_nar(&PathInfo::from(&info), &mut &damaged[..]).unwrap_err();
    to.store.prepare_nar(&PathInfo::from(&info), &mut &bytes[..]).unwrap();
    std::fs::remove_file(directory.join(&info.url)).unwrap();
    assert_eq!(take(&open(&directory, true), &text, &to).unwrap().len(), 2);
    assert!(to.store.is_valid(&text).unwrap());
    assert!(to.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
}

#[test]
fn nothing_is_taken_without_a_signature() {
    let from = Fixture::new();
    let (path, directory) = exported(&from, Compression::None, None);
    let to = Fixture::new();
    let error = take(&open(&directory, true), &path, &to).unwrap_err();
    assert!(matches!(error, CacheError::NotSigned { .. }), "{error}");
    assert!(to.store.all_paths().unwrap().is_empty());
    assert_eq!(take(&open(&directory, false), &path, &to).unwrap().len(), 2);
}

#[test]
fn a_cache_that_lies_is_named() {
    let from = Fixture::new();
    let (path, directory) = exported(&from, Compression::Zstd, Some(&key()));
    let file = directory.join(format!("{}.narinfo", path.hash_part()));
    let text = std::fs::read_to_string(&file).unwrap();
    let info = NarInfo::parse(&text).unwrap();
    let fails = |text: String, reason: &str| {
        std::fs::write(&file, text).unwrap();
        let to = Fixture::new();
        let error = take(&open(&directory, true), &path, &to).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("file://"), "{error}");
        assert!(!to.store.is_valid(&path).unwrap());
    };
    fails(text.replace(&info.url, "../secret"), "leads out of the cache");
    fails(text.replace(&info.url, "/etc/passwd"), "leads out of the cache");
    fails(text.replace(&info.url, "nar/gone"), "nar/gone");
    fails(text.replace(&format!("NarSize: {}", info.nar_size), "NarSize: 8"), "size mismatch");
    fails(text.replace("Compression: zstd", "Compression: xz"), "cannot take");
    fails(text.replace(path.base_name(), "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-other"), "its narinfo is that of");
    fails("nonsense".to_owned(), "malformed");
    let nar = directory.join(&info.url);
    let bytes = std::fs::read(&nar).unwrap();
    std::fs::write(&nar, &bytes[..bytes.len() / 2]).unwrap();
    fails(text, "cannot take");
    std::fs::write(directory.join("nix-cache-info"), "StoreDir: /gnu/store\n").unwrap();
    let other = BinaryCache::new(Box::new(Directory::new(&directory)), CacheOptions::default());
    assert!(matches!(other.priority(), Err(CacheError::OtherStore { .. })));
}

#[test]
fn of_several_caches_the_first_that_can_is_used() {
    let from = Fixture::new();
    let (path, directory) = exported(&from, Compression::Zstd, Some(&key()));
    // One that has the same objects, comes first, and has lost its NARs; and one that cannot be read.
    let broken = from.dir.path().join("broken");
    run("cp", &from.root(), &["-a", directory.to_str().unwrap(), broken.to_str().unwrap()]);
    std::fs::remove_dir_all(broken.join("nar")).unwrap();
    std::fs::write(broken.join("nix-cache-info"), "StoreDir: /nix/store\nPriority: 1\n").unwrap();
    let unreadable = from.dir.path().join("unreadable");
    std::fs::create_dir_all(unreadable.join("nix-cache-info")).unwrap();
    let caches = [&unreadable, &broken, &directory].map(|directory| {
        let options = CacheOptions { keys: Some([key().public_key()].into()), ..CacheOptions::default() };
        BinaryCache::new(Box::new(Directory::new(directory)), options)
    });
    let caches = Substituters::new(caches.into());
    let to = Fixture::new();
    let plan = caches.plan([path.clone()], &to.store, &Silent).unwrap();
    assert_eq!((plan.objects().count(), plan.missing.len()), (2, 0));
    assert!(plan.nar_size() > 400_000 && plan.download_size() < plan.nar_size());
    assert_eq!(take(&caches, &path, &to).unwrap().len(), 2);
}

#[test]
fn references_that_lead_in_a_circle_are_an_error() {
    let from = Fixture::new();
    let (path, directory) = exported(&from, Compression::None, None);
    let tree = from.store.require(&path).unwrap().references.first().unwrap().clone();
    let file = directory.join(format!("{}.narinfo", tree.hash_part()));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("References: ", &format!("References: {}", path.base_name()))).unwrap();
    let to = Fixture::new();
    let error = take(&open(&directory, false), &path, &to).unwrap_err();
    assert!(matches!(error, CacheError::Cycle { .. }), "{error}");
    assert!(to.store.all_paths().unwrap().is_empty());
}

#[test]
fn nix_takes_from_ours_and_we_from_nix_s() {
    if !has_peer("nix") {
        return;
    }
    let features = ["--extra-experimental-features", "nix-command"];
    let from = Fixture::new();
    let (path, directory) = exported(&from, Compression::Xz, Some(&key()));
    let root = from.dir.path().join("nix-root");
    let (store, cache) = (root.to_str().unwrap(), format!("file://{}", directory.display()));
    let keys = key().public_key().to_string();
    let copy = ["copy", "--from", &cache, "--to", store, "--option", "trusted-public-keys", &keys];
    run("nix", &from.root(), &[&features[..], &copy, &[&path.to_string()]].concat());
    nix_store(&root, &["--verify", "--check-contents"]);

    let theirs = from.dir.path().join("theirs");
    let to = format!("file://{}?compression=bzip2", theirs.display());
    run("nix", &from.root(), &[&features[..], &["copy", "--store", store, "--to", &to, &path.to_string()]].concat());
    let fixture = Fixture::new();
    assert_eq!(take(&open(&theirs, true), &path, &fixture).unwrap().len(), 2);
    assert!(fixture.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
}
