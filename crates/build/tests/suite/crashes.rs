//! Builds whose process dies, or that run out of space: the store stays whole, nothing runs on, and the next try succeeds.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use build::{Builder, Options, Realise, Wanted};
use nix_formats::store_path::StorePath;
use store::progress::{Activity, Outcome, Progress, TaskId};
use store::{LocalStore, Store, fs_nar};

use crate::workshop::{Workshop, busybox, lacks};

/// Writes the log to standard output.
struct Loud;

impl Progress for Loud {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, line: &str) {
        println!("{line}");
    }
    fn warn(&self, _: &str) {}
}

/// A process that builds a derivation in a store. `prefix` is what starts it.
fn process(prefix: &[&str], workshop: &Workshop, derivation: &StorePath) -> Command {
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    let arguments = ["--exact", "crashes::building_process", "--ignored", "--nocapture", "--quiet"];
    let mut words = prefix.iter().copied().chain([own]).chain(arguments);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command.env("BUILD_ROOT", workshop.root()).env("BUILD_DERIVATION", derivation.base_name());
    command
}

#[test]
#[ignore = "not a test: the process in which tests build something"]
fn building_process() {
    let Some(root) = std::env::var_os("BUILD_ROOT") else { return };
    let derivation = StorePath::from_base_name(std::env::var("BUILD_DERIVATION").unwrap()).unwrap();
    let store = Arc::new(LocalStore::open(&PathBuf::from(root)).unwrap());
    let options = Options { shell: busybox(), ..Options::new() };
    let builder = Builder::new(store, options).with_progress(Arc::new(Loud));
    match builder.realise(&[Wanted::all(derivation)]) {
        Ok(_) => std::process::exit(0),
        Err(error) => {
            println!("{}{error}", if error.is_disk_full() { "disk full: " } else { "" });
            std::process::exit(1)
        }
    }
}

/// Processes of the host whose command line has this word.
fn processes(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    entries.filter(|path| std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(word))).count()
}

#[test]
fn a_killed_build_leaves_nothing() {
    let Some(workshop) = Workshop::new() else { return };
    let script = "mkdir $out; echo half > $out/file; echo ready; if test -e /build/once; then exit 1; fi; sleep 7774.4";
    let (derivation, out) = workshop.recipe("killed", script).add_with_output("out");
    let mut child = process(&[], &workshop, &derivation).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes("7774.4") > 0 {
        assert!(Instant::now() < deadline, "the builder was left running");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!workshop.store.is_valid(&out).unwrap());
    // What the dead process had in the making goes when the store is opened again; its locks are gone with it.
    drop(LocalStore::open(&workshop.root()).unwrap());
    workshop.verify_clean();
    let quick = workshop.recipe("quick", "echo whole > $out").add();
    assert_eq!(workshop.text(&quick), "whole\n");
}

#[test]
fn a_full_disk_is_named() {
    let Some(workshop) = Workshop::new() else { return };
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        return lacks("unshare");
    }
    let script = "dd if=/dev/zero of=/build/all bs=1024 count=20000 2>&1; echo > $out";
    let derivation = workshop.recipe("full", script).add();
    // A small file system of its own, in which the store's staging lies.
    let staging = workshop.store.state_dir().join("wharf-staging");
    let mount = format!("mount -t tmpfs -o size=4m small '{}' && exec \"$@\"", staging.display());
    let output = process(&["unshare", "-rm", "sh", "-c", &mount, "sh"], &workshop, &derivation).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && text.contains("disk full: ") && text.contains("the disk is full or nearly so"),
        "{text}"
    );
    workshop.verify_clean();
}

#[test]
fn builds_work_where_parts_of_proc_are_hidden() {
    let Some(workshop) = Workshop::new() else { return };
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        return lacks("unshare");
    }
    // As in the containers of most engines.
    let (derivation, out) =
        workshop.recipe("inside", "test -e /proc/self/status; echo fine > $out").add_with_output("out");
    let hide = "mount --bind /dev/null /proc/meminfo && exec \"$@\"";
    let output = process(&["unshare", "-rm", "sh", "-c", hide, "sh"], &workshop, &derivation).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let real = workshop.store.real_path(&out);
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "fine\n");
    fs_nar::hash(&real, &mut fs_nar::everything, nix_formats::hash::HashAlgo::Sha256).unwrap();
}
