//! Roots and what they keep.

use std::collections::BTreeSet;

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::everything;
use store::local::{GcOptions, Problem, VerifyOptions};
use store::progress::Silent;
use store::{LocalStore, Store, StoreError};

use crate::Fixture;

/// Three texts, each referring to the one before, and one that nothing refers to.
fn chain(store: &LocalStore) -> Vec<StorePath> {
    let mut paths: Vec<StorePath> = Vec::new();
    for number in 0..3 {
        let references = paths.last().cloned().into_iter().collect();
        paths.push(store.add_text(&format!("t{number}"), b"text", &references).unwrap());
    }
    paths.push(store.add_text("alone", b"text", &BTreeSet::new()).unwrap());
    paths
}

/// Adds the chain in a store that is closed again, so that no temporary root is left.
fn added(fixture: &Fixture) -> Vec<StorePath> {
    chain(&LocalStore::open(&fixture.root()).unwrap())
}

#[test]
fn what_no_root_needs_is_deleted() {
    let fixture = Fixture::new();
    let paths = added(&fixture);
    let link = fixture.dir.path().join("result");
    fixture.store.add_root(&link, &paths[1]).unwrap();
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "text");
    // A temporary root of this process holds the root as well; a store of another has none.
    let other = LocalStore::open(&fixture.root()).unwrap();
    let dead = BTreeSet::from([paths[2].clone(), paths[3].clone()]);
    let dry_run = other.collect_garbage(&GcOptions { dry_run: true, ..Default::default() }, &Silent).unwrap();
    assert_eq!(dry_run.paths, dead);
    assert!(other.real_path(&paths[2]).exists());
    let collected = other.collect_garbage(&GcOptions::default(), &Silent).unwrap();
    assert_eq!(collected.paths, dead);
    assert!(collected.bytes > 0);
    assert!(!other.real_path(&paths[2]).exists());
    assert_eq!(other.all_paths().unwrap(), paths[..2].iter().cloned().collect());
    assert!(other.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap().is_empty());
}

#[test]
fn a_root_is_gone_with_its_link() {
    let fixture = Fixture::new();
    let link = fixture.dir.path().join("result");
    {
        let store = LocalStore::open(&fixture.root()).unwrap();
        let paths = chain(&store);
        store.add_root(&link, &paths[2]).unwrap();
    }
    assert_eq!(fixture.store.collect_garbage(&GcOptions::default(), &Silent).unwrap().paths.len(), 1);
    std::fs::remove_file(&link).unwrap();
    assert_eq!(fixture.store.collect_garbage(&GcOptions::default(), &Silent).unwrap().paths.len(), 3);
    assert!(fixture.store.all_paths().unwrap().is_empty());
}

#[test]
fn other_files_are_not_replaced_by_roots() {
    let fixture = Fixture::new();
    let path = fixture.store.add_text("t", b"", &BTreeSet::new()).unwrap();
    let taken = fixture.dir.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    assert!(matches!(fixture.store.add_root(&taken, &path), Err(StoreError::BadRoot { .. })));
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
}

#[test]
fn temporary_roots_keep_what_is_not_there_yet() {
    let fixture = Fixture::new();
    let paths = chain(&fixture.store);
    let other = LocalStore::open(&fixture.root()).unwrap();
    assert!(other.collect_garbage(&GcOptions::default(), &Silent).unwrap().paths.is_empty());
    assert_eq!(other.all_paths().unwrap().len(), paths.len());
}

#[test]
fn leftovers_of_a_killed_process_are_deleted() {
    let fixture = Fixture::new();
    let store_dir = fixture.store.store_dir().to_owned();
    let half = store_dir.join("7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-half");
    std::fs::create_dir_all(half.join("sub")).unwrap();
    std::fs::write(store_dir.join("7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-half.lock"), "").unwrap();
    std::fs::write(store_dir.join("junk"), "").unwrap();
    fixture.store.collect_garbage(&GcOptions::default(), &Silent).unwrap();
    let left: Vec<_> = std::fs::read_dir(store_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".links"]);
}

#[test]
fn recent_objects_can_be_kept() {
    let fixture = Fixture::new();
    added(&fixture);
    let options = GcOptions { keep_registered_since: Some(1), ..Default::default() };
    assert!(fixture.store.collect_garbage(&options, &Silent).unwrap().paths.is_empty());
    let options = GcOptions { max_freed: Some(1), ..Default::default() };
    let collected = fixture.store.collect_garbage(&options, &Silent).unwrap();
    assert!((1..4).contains(&collected.paths.len()));
}

#[test]
fn single_objects_are_deleted_if_nothing_needs_them() {
    let fixture = Fixture::new();
    let paths = added(&fixture);
    let link = fixture.dir.path().join("result");
    {
        let store = LocalStore::open(&fixture.root()).unwrap();
        store.add_root(&link, &paths[1]).unwrap();
    }
    assert!(matches!(fixture.store.delete(&paths[..1], &Silent), Err(StoreError::InUse { .. })));
    assert_eq!(fixture.store.delete(&paths[2..3], &Silent).unwrap().paths.len(), 1);
}

#[test]
fn damage_is_found_and_repaired() {
    let fixture = Fixture::new();
    let paths = added(&fixture);
    let place = fixture.store.real_path(&paths[0]);
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "other").unwrap();
    std::fs::remove_file(fixture.store.real_path(&paths[3])).unwrap();
    let options = VerifyOptions { contents: true, repair: true };
    let problems = fixture.store.verify(options, &Silent).unwrap();
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().any(|problem| matches!(problem, Problem::Missing { path } if *path == paths[3])));
    assert!(problems.iter().any(|problem| matches!(problem, Problem::Modified { path, .. } if *path == paths[0])));
    assert!(fixture.store.verify(options, &Silent).unwrap().is_empty());
    assert!(fixture.store.all_paths().unwrap().is_empty(), "all the others referred to what was damaged");
}

#[test]
fn collecting_does_not_take_what_others_are_adding() {
    let fixture = Fixture::new();
    let root = fixture.root();
    let source = fixture.source("source");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let adders: Vec<_> = (0..2)
            .map(|thread| {
                let (root, source) = (&root, &source);
                scope.spawn(move || {
                    let store = LocalStore::open(root).unwrap();
                    let mut added = Vec::new();
                    for number in 0..15 {
                        // Both threads add some of the same, which the collection may have deleted meanwhile.
                        let name = format!("n{}", number / (1 + thread));
                        let tree =
                            store.add_tree(&name, source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
                        let text = store.add_text(&name, name.as_bytes(), &BTreeSet::from([tree.clone()])).unwrap();
                        added.extend([tree, text]);
                    }
                    for path in &added {
                        assert!(store.is_valid(path).unwrap(), "{path} was collected while it was needed");
                        assert!(store.real_path(path).exists());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let store = LocalStore::open(&root).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.collect_garbage(&GcOptions::default(), &Silent).unwrap();
            }
        });
        let results: Vec<_> = adders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    let problems = fixture.store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}
