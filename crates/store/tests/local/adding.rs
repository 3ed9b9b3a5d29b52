//! Adding objects, and reading what is known of them.

use std::collections::BTreeSet;

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::{self, StorePath};
use store::fs_nar::{self, everything};
use store::{LocalStore, PathInfo, Store, StoreError};

use crate::{Fixture, staged};

fn tree(fixture: &Fixture, name: &str) -> StorePath {
    let source = fixture.source(name);
    fixture.store.add_tree(name, &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap()
}

#[test]
fn a_text_is_there_with_its_references() {
    let fixture = Fixture::new();
    let first = fixture.store.add_text("first", b"1", &BTreeSet::new()).unwrap();
    let references = BTreeSet::from([first.clone()]);
    let second = fixture.store.add_text("second", first.to_string().as_bytes(), &references).unwrap();
    let info = fixture.store.require(&second).unwrap();
    assert_eq!(info.references, references);
    assert_eq!(std::fs::read_to_string(fixture.store.real_path(&second)).unwrap(), first.to_string());
    assert_eq!(fixture.store.referrers(&first).unwrap(), BTreeSet::from([second.clone()]));
    assert_eq!(fixture.store.closure(std::slice::from_ref(&second)).unwrap(), BTreeSet::from([first.clone(), second]));
    assert_eq!(fixture.store.path_from_hash_part(first.hash_part()).unwrap(), Some(first));
}

#[test]
fn a_text_with_a_missing_reference_is_not_registered() {
    let fixture = Fixture::new();
    let missing = store_path::text_path("missing", b"", []).unwrap();
    let error = fixture.store.add_text("text", b"x", &BTreeSet::from([missing.clone()])).unwrap_err();
    assert!(matches!(error, StoreError::MissingReference { reference, .. } if reference == missing));
    assert_eq!(fixture.store.all_paths().unwrap(), BTreeSet::new());
}

#[test]
fn a_tree_is_copied_once() {
    let fixture = Fixture::new();
    let path = tree(&fixture, "source");
    let info = fixture.store.require(&path).unwrap();
    let (hash, size) = fs_nar::hash(&fixture.store.real_path(&path), &mut everything, HashAlgo::Sha256).unwrap();
    assert_eq!((info.nar_hash, info.nar_size), (hash, size));
    assert_eq!(fs_nar::nar_size(&fixture.store.real_path(&path)).unwrap(), size);
    assert_eq!(info.content_address, Some(ContentAddress { method: Method::Nar, hash }));
    let again = fixture.store.add_tree(
        "source",
        &fixture.dir.path().join("source"),
        Method::Nar,
        HashAlgo::Sha256,
        &mut everything,
    );
    assert_eq!(again.unwrap(), path);
    drop(fixture.store);
    assert_eq!(staged(&fixture.dir.path().join("root")), 0);
}

#[test]
fn the_filter_is_asked_once_for_each_file() {
    let fixture = Fixture::new();
    let source = fixture.source("source");
    let mut asked = 0;
    let mut filter = |path: &std::path::Path, _| {
        asked += 1;
        Ok(!path.ends_with("sub"))
    };
    let path = fixture.store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut filter).unwrap();
    assert_eq!(asked, 3);
    assert!(!fixture.store.real_path(&path).join("sub").exists());
}

#[test]
fn flat_files_are_hashed_by_their_bytes() {
    let fixture = Fixture::new();
    let file = fixture.source("source").join("a.txt");
    for algo in [HashAlgo::Sha1, HashAlgo::Sha256, HashAlgo::Sha512] {
        let path = fixture.store.add_tree("f", &file, Method::Flat, algo, &mut everything).unwrap();
        let address = ContentAddress { method: Method::Flat, hash: Hash::of(algo, b"source") };
        assert_eq!(path, address.store_path("f", [], false).unwrap());
        assert_eq!(fixture.store.require(&path).unwrap().content_address, Some(address));
    }
    let directory = fixture.dir.path().join("source");
    let error = fixture.store.add_tree("d", &directory, Method::Flat, HashAlgo::Sha256, &mut everything);
    assert!(error.unwrap_err().to_string().contains("is not a regular file"));
}

#[test]
fn a_nar_must_be_what_was_announced() {
    let (from, to) = (Fixture::new(), Fixture::new());
    let path = tree(&from, "source");
    let info = from.store.require(&path).unwrap();
    let nar = fs_nar::dump(&from.store.real_path(&path), &mut everything, Vec::new()).unwrap();
    let mut wrong_hash = info.clone();
    wrong_hash.nar_hash = Hash::of(HashAlgo::Sha256, b"");
    let mut wrong_size = info.clone();
    wrong_size.nar_size -= 8;
    let mut wrong_address = info.clone();
    wrong_address.content_address = Some(ContentAddress { method: Method::Nar, hash: wrong_hash.nar_hash });
    for wrong in [&wrong_hash, &wrong_size, &wrong_address] {
        to.store.add_nar(wrong, &mut &nar[..]).unwrap_err();
    }
    let truncated = to.store.add_nar(&info, &mut &nar[..nar.len() / 2]).unwrap_err();
    assert!(truncated.to_string().contains("too early"), "{truncated}");
    assert_eq!(to.store.all_paths().unwrap(), BTreeSet::new());
    assert!(!to.store.real_path(&path).exists());
    to.store.add_nar(&info, &mut &nar[..]).unwrap();
    let copied = to.store.require(&path).unwrap();
    assert_eq!(PathInfo { registration_time: 0, ..copied }, PathInfo { registration_time: 0, ..info });
}

#[test]
fn builders_outputs_are_installed_together() {
    let fixture = Fixture::new();
    let staging = fixture.store.staging().unwrap();
    let paths: Vec<StorePath> = (0..2).map(|number| StorePath::from_hash_part([number; 20], "made").unwrap()).collect();
    let mut objects = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let tree = staging.path().join(number.to_string());
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("self"), path.to_string()).unwrap();
        fs_nar::canonicalise(&tree).unwrap();
        let (hash, size) = fs_nar::hash(&tree, &mut everything, HashAlgo::Sha256).unwrap();
        let mut info = PathInfo::new(path.clone(), hash, size);
        info.references = paths.iter().cloned().collect();
        objects.push((tree, info));
    }
    let locks = fixture.store.lock(&paths).unwrap();
    assert!(fixture.store.try_lock(&paths[..1]).unwrap().is_none());
    fixture.store.install(&locks, &objects).unwrap();
    drop(locks);
    assert!(fixture.store.try_lock(&paths).unwrap().is_some());
    assert_eq!(fixture.store.closure(&paths[..1]).unwrap().len(), 2);
    let metadata = std::fs::metadata(fixture.store.real_path(&paths[0])).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777, 0o555);
}

#[test]
fn several_stores_of_one_root_add_the_same() {
    let fixture = Fixture::new();
    let source = fixture.source("source");
    let root = fixture.root();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = LocalStore::open(&root).unwrap();
                store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
                for number in 0..20 {
                    store.add_text(&format!("t{number}"), b"text", &BTreeSet::new()).unwrap();
                }
            });
        }
    });
    assert_eq!(fixture.store.all_paths().unwrap().len(), 21);
    let leftovers = std::fs::read_dir(root.join("nix/store")).unwrap().count();
    assert_eq!(leftovers, 22, "21 objects and .links, no lock files");
}

#[test]
fn what_another_schema_wrote_is_refused() {
    let fixture = Fixture::new();
    let root = fixture.root();
    std::fs::write(root.join("nix/var/nix/db/schema"), "11").unwrap();
    assert!(matches!(LocalStore::open(&root), Err(StoreError::Schema { .. })));
}

#[test]
fn abandoned_staging_is_cleared() {
    let fixture = Fixture::new();
    let root = fixture.root();
    std::fs::create_dir_all(root.join("nix/var/nix/wharf-staging/1.0/half")).unwrap();
    let kept = fixture.store.staging().unwrap();
    drop(LocalStore::open(&root).unwrap());
    assert!(kept.path().exists());
    assert_eq!(staged(&root), 1);
}

#[test]
fn objects_lost_in_a_crash_of_the_machine_are_made_again() {
    let fixture = Fixture::new();
    let root = fixture.root();
    let kept = fixture.store.add_text("kept", b"1", &BTreeSet::new()).unwrap();
    let lost = fixture.store.add_text("lost", b"2", &BTreeSet::new()).unwrap();
    let place = fixture.store.real_path(&lost);
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "").unwrap();
    let note = root.join("nix/var/nix/wharf-unflushed");
    let text = std::fs::read_to_string(&note).unwrap();
    let (_, time) = text.split_once(' ').unwrap();
    std::fs::write(&note, format!("another-boot {time}")).unwrap();
    let store = LocalStore::open(&root).unwrap();
    assert_eq!(store.all_paths().unwrap(), BTreeSet::from([kept]));
    assert_eq!(store.add_text("lost", b"2", &BTreeSet::new()).unwrap(), lost);
    assert_eq!(std::fs::read(place).unwrap(), b"2");
}
