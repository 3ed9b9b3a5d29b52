//! A process that is killed at any moment leaves a store that is sound.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use store::fs_nar::everything;
use store::local::{GcOptions, VerifyOptions};
use store::progress::Silent;
use store::{LocalStore, Store};

use crate::{Fixture, staged};

/// Names the directory in which the child of the test below works.
const DIRECTORY: &str = "WHARF_TEST_KILLED_DIRECTORY";

/// Not a test of its own: what the child process of the next one does until it is killed.
#[test]
fn child_adds_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let store = LocalStore::open(&directory.join("root")).unwrap();
    for number in 0.. {
        let name = format!("n{number}");
        let source = directory.join("source");
        let tree = store.add_tree(&name, &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
        store.add_text(&name, tree.to_string().as_bytes(), &BTreeSet::from([tree])).unwrap();
    }
}

fn kill_child_after(directory: &Path, delay: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killing::child_adds_until_it_is_killed"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The clock starts when the child has something in the making.
    let start = Instant::now();
    let staging = directory.join("root/nix/var/nix/wharf-staging");
    while std::fs::read_dir(&staging).map_or(0, Iterator::count) == 0 && start.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(1));
    }
    sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_process_leaves_nothing_half_done() {
    let fixture = Fixture::new();
    fixture.source("source");
    for delay in [0, 3, 7, 13, 29, 51] {
        kill_child_after(fixture.dir.path(), Duration::from_millis(delay));
        let store = LocalStore::open(&fixture.root()).unwrap();
        assert_eq!(staged(&fixture.root()), 0, "what was in the making is cleared away");
        let check = VerifyOptions { contents: true, repair: false };
        let problems = store.verify(check, &Silent).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }
    fixture.store.collect_garbage(&GcOptions::default(), &Silent).unwrap();
    assert!(fixture.store.all_paths().unwrap().is_empty(), "the dead process's temporary roots do not count");
    let left: Vec<_> = std::fs::read_dir(fixture.store.store_dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".links"]);
}
