//! Stores that cannot be used as they are: each error says why, and what to type next, and that works.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use store::fs_nar::everything;
use store::local::VerifyOptions;
use store::progress::Silent;
use store::{LocalStore, Store, StoreError};

use crate::Fixture;

/// A store with two objects, one of which refers to the other, that nobody has open.
fn closed_store() -> (tempfile::TempDir, PathBuf) {
    let Fixture { dir, store } = Fixture::new();
    let first = store.add_text("first", b"1", &BTreeSet::new()).unwrap();
    store.add_text("second", first.to_string().as_bytes(), &BTreeSet::from([first])).unwrap();
    drop(store);
    let root = dir.path().join("root");
    (dir, root)
}

fn database(root: &Path) -> PathBuf {
    root.join("nix/var/nix/db/db.sqlite")
}

/// The error of a store that cannot be opened, or in which nothing can be looked up.
fn error(root: &Path) -> StoreError {
    LocalStore::open(root).and_then(|store| store.all_paths()).unwrap_err()
}

/// Something that is done to a database.
type Damage = fn(&Path);

/// Types what an error says after this.
fn type_what_follows(message: &str, lead: &str) {
    let command = message.split_once(lead).unwrap_or_else(|| panic!("{message}")).1;
    let status = Command::new("sh").args(["-e", "-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

fn usable_again(root: &Path) {
    let store = LocalStore::open(root).unwrap();
    let first = store.add_text("first", b"1", &BTreeSet::new()).unwrap();
    store.add_text("second", first.to_string().as_bytes(), &BTreeSet::from([first])).unwrap();
    assert_eq!(store.all_paths().unwrap().len(), 2);
    let whole = store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap();
    assert!(whole.is_empty(), "{whole:?}");
}

#[test]
fn a_damaged_database_is_begun_anew_as_the_error_says() {
    let damage: [(&str, Damage); 6] = [
        ("is damaged", |file| fs::write(file, "this is not a database, but a text that is long enough").unwrap()),
        ("is damaged", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("is damaged", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096..].fill(0x5a);
            fs::write(file, bytes).unwrap();
        }),
        ("is no store's", |file| fs::write(file, "").unwrap()),
        ("is no store's", |file| {
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute_batch("drop table Refs").unwrap();
        }),
        ("is missing", |file| fs::remove_file(file).unwrap()),
    ];
    for (reason, damage) in damage {
        let (_place, root) = closed_store();
        damage(&database(&root));
        let error = error(&root);
        let text = error.to_string();
        assert!(matches!(error, StoreError::Database { .. }), "{text}");
        assert!(text.contains(reason) && text.contains(database(&root).to_str().unwrap()), "{reason}: {text}");
        type_what_follows(&text, "made again: ");
        usable_again(&root);
    }
}

#[test]
fn rows_that_make_no_sense_can_be_forgotten() {
    for change in [
        "update ValidPaths set path = '/etc/passwd' where path like '%-first'",
        "update ValidPaths set hash = 'sha256:00' where path like '%-first'",
        "update ValidPaths set narSize = -7 where path like '%-first'",
        "update ValidPaths set ca = 'text:md7:00' where path like '%-first'",
        "update ValidPaths set deriver = 'nobody' where path like '%-first'",
    ] {
        let (_place, root) = closed_store();
        rusqlite::Connection::open(database(&root)).unwrap().execute_batch(change).unwrap();
        let store = LocalStore::open(&root).unwrap();
        let looked =
            store.all_paths().and_then(|paths| paths.iter().try_for_each(|path| store.require(path).map(drop)));
        let text = looked.unwrap_err().to_string();
        assert!(text.contains("wharf store verify --repair"), "{change}: {text}");
        let problems = |repair| store.verify(VerifyOptions { contents: true, repair }, &Silent).unwrap();
        assert_eq!(problems(false).len(), 1, "{change}");
        assert_eq!(problems(true).len(), 1, "{change}");
        assert!(problems(false).is_empty(), "{change}");
        // What refers to it went with it.
        assert!(store.all_paths().unwrap().is_empty(), "{change}");
        drop(store);
        usable_again(&root);
    }
}

#[test]
fn stores_of_another_nix_are_told_apart() {
    let (_place, root) = closed_store();
    let schema = root.join("nix/var/nix/db/schema");
    for (text, reason) in [
        ("11", "was made by a newer Nix: it has schema 11, and this Wharf reads schema 10"),
        ("9", "a Nix of today brings it up to that: nix-store --store '"),
    ] {
        fs::write(&schema, text).unwrap();
        let error = error(&root);
        assert!(matches!(error, StoreError::Schema { .. }) && error.to_string().contains(reason), "{error}");
    }
    for bytes in [&b""[..], b"ten", b"\xff\xfe"] {
        fs::write(&schema, bytes).unwrap();
        let text = error(&root).to_string();
        assert!(text.contains("is damaged"), "{text}");
        type_what_follows(&text, "of today's: ");
        usable_again(&root);
    }
}

#[test]
fn directories_that_are_gone_are_missed() {
    let (_place, root) = closed_store();
    for name in ["temproots", "gcroots", "profiles", "wharf-staging"] {
        fs::remove_dir_all(root.join("nix/var/nix").join(name)).unwrap();
    }
    usable_again(&root);
    fs::rename(root.join("nix/store"), root.join("away")).unwrap();
    let text = error(&root).to_string();
    assert!(text.contains("has lost its directory 'nix/store'"), "{text}");
    let command = text.split_once("in it: ").unwrap().1;
    let (make, verify) = command.split_once(" && wharf --store ").unwrap();
    assert!(verify.ends_with("store verify --repair"), "{text}");
    assert!(Command::new("sh").args(["-c", make]).status().unwrap().success());
    let store = LocalStore::open(&root).unwrap();
    assert_eq!(store.verify(VerifyOptions { contents: false, repair: true }, &Silent).unwrap().len(), 2);
    drop(store);
    usable_again(&root);
}

/// Names the directory in which the child of the test below works.
const SMALL_DISK: &str = "WHARF_TEST_SMALL_DISK";

/// Not a test of its own: what the child process of the next one does on its small disk.
#[test]
fn on_a_small_disk() {
    let Some(place) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else { return };
    let disk = place.join("disk");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "small"]).arg(&disk).status().unwrap();
    assert!(mount.success());
    let store = LocalStore::open(&disk).unwrap();
    let first = store.add_text("first", b"1", &BTreeSet::new()).unwrap();
    let (source, full) = (place.join("source"), disk.join("filler"));
    let add = || store.add_tree("big", &source, Method::Nar, HashAlgo::Sha256, &mut everything);
    let whole = || store.verify(VerifyOptions { contents: true, repair: false }, &Silent).unwrap();
    // The object alone is too large, then the disk is full of something else.
    fs::write(source.join("big"), vec![1; 9 << 20]).unwrap();
    for round in 0..2 {
        let error = add().unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        assert!(error.to_string().contains(disk.to_str().unwrap()), "{error}");
        assert!(whole().is_empty() && store.all_paths().unwrap().len() == 1, "{round}");
        fs::write(source.join("big"), vec![1; 1 << 20]).unwrap();
        let mut filler = fs::File::create(&full).unwrap();
        while std::io::Write::write_all(&mut filler, &[7; 4096]).is_ok() {}
    }
    // Not even the database has room.
    let mut last = Ok(first);
    for number in 0..200 {
        last = store.add_text(&format!("t{number}"), &[b'x'; 4096], &BTreeSet::new());
        if last.is_err() {
            break;
        }
    }
    let error = last.unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    fs::remove_file(&full).unwrap();
    assert!(whole().is_empty());
    add().unwrap();
    assert!(whole().is_empty());
}

#[test]
fn a_full_disk_is_named_and_nothing_is_registered() {
    let (place, _) = closed_store();
    fs::create_dir_all(place.path().join("disk")).unwrap();
    fs::create_dir_all(place.path().join("source")).unwrap();
    let mut child = Command::new("unshare");
    child.arg("-rm").arg(std::env::current_exe().unwrap()).args(["--exact", "damage::on_a_small_disk", "--nocapture"]);
    let Ok(output) = child.env(SMALL_DISK, place.path()).output() else {
        assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "unshare is not installed");
        return println!("skipped: needs unshare");
    };
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_root_that_cannot_be_one_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let text = error(&file).to_string();
    assert!(text.contains(file.to_str().unwrap()) && text.contains("--store or WHARF_HOME"), "{text}");
    assert!(error(Path::new("/proc/nowhere")).to_string().contains("/proc/nowhere"));
}

/// Runs as a user who may do nothing here; only this thread is that user.
fn as_nobody<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65534);
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            action()
        });
        acting.join().unwrap()
    })
}

#[test]
fn a_store_of_another_users_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (place, root) = closed_store();
    set(place.path(), 0o755);
    // What may be looked at may not be written to.
    for directory in ["nix/var/nix/db", "nix/var/nix", "nix/store"] {
        let directory = root.join(directory);
        set(&directory, if rustix::process::geteuid().is_root() { 0o755 } else { 0o555 });
    }
    let text = as_nobody(|| error(&root).to_string());
    assert!(text.contains("cannot be ") && text.contains("--store or WHARF_HOME"), "{text}");
    assert!(text.contains(root.to_str().unwrap()), "{text}");
    set(&root.join("nix/var"), 0o000);
    let text = as_nobody(|| error(&root).to_string());
    assert!(text.contains("Permission denied") && text.contains("--store or WHARF_HOME"), "{text}");
    set(&root.join("nix/var"), 0o755);
    for directory in ["nix/var/nix/db", "nix/var/nix", "nix/store"] {
        set(&root.join(directory), 0o755);
    }
    usable_again(&root);
}
