//! The client of nix-daemon, with a real daemon over a store of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix_formats::content_address::Method;
use nix_formats::derivation::{Derivation, Output};
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use nix_formats::worker::Version;
use store::daemon::{DaemonOptions, DaemonStore};
use store::fs_nar::everything;
use store::local::GcOptions;
use store::progress::{Activity, Outcome, Progress, Silent, TaskId};
use store::{PathInfo, Store, StoreError};

use crate::Fixture;
use crate::nix::{has_peer, nix_store};

/// A daemon, ended when it is dropped.
struct Daemon {
    child: Child,
    root: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Nothing where there is no `nix-daemon`.
    fn start(fixture: &Fixture) -> Option<Self> {
        if !has_peer("nix-daemon") {
            return None;
        }
        let (root, socket) = (fixture.dir.path().join("daemon-root"), fixture.dir.path().join("socket"));
        let child = Command::new("nix-daemon")
            .args(["--option", "build-users-group", "", "--option", "substituters", ""])
            .args(["--option", "sandbox-paths", "/bin/sh=/bin/busybox", "--option", "sandbox", "true"])
            .env("NIX_REMOTE", format!("local?root={}", root.display()))
            .env("NIX_DAEMON_SOCKET_PATH", &socket)
            .env("HOME", fixture.dir.path())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { child, root, socket };
        let started = Instant::now();
        while !daemon.socket.exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "nix-daemon does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(daemon)
    }

    fn open(&self, progress: Arc<dyn Progress>) -> DaemonStore {
        self.open_with(DaemonOptions::default(), progress)
    }

    fn open_with(&self, options: DaemonOptions, progress: Arc<dyn Progress>) -> DaemonStore {
        // A socket file is there a moment before somebody listens.
        for _ in 0..50 {
            match DaemonStore::open(&self.socket, &self.root.join("nix/store"), options.clone(), progress.clone()) {
                Err(StoreError::DaemonLost { .. }) => std::thread::sleep(Duration::from_millis(20)),
                other => return other.unwrap(),
            }
        }
        panic!("nix-daemon does not answer");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn objects_go_in_and_come_out() {
    let fixture = Fixture::new();
    let Some(daemon) = Daemon::start(&fixture) else { return };
    let store = daemon.open(Arc::new(Silent));
    assert!(store.version().unwrap() >= Version { major: 1, minor: 34 });
    assert!(store.nix_version().unwrap().starts_with("2."));
    let source = fixture.source("source");
    let tree = store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
    let here = fixture.store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
    assert_eq!(tree, here);
    let flat = store.add_tree("f", &source.join("a.txt"), Method::Flat, HashAlgo::Sha1, &mut everything).unwrap();
    let text = store.add_text("t", tree.to_string().as_bytes(), &BTreeSet::from([tree.clone()])).unwrap();
    let info = store.require(&text).unwrap();
    assert_eq!(info.references, BTreeSet::from([tree.clone()]));
    assert_eq!(store.require(&tree).unwrap().nar_hash, fixture.store.require(&tree).unwrap().nar_hash);
    assert_eq!(store.referrers(&tree).unwrap(), BTreeSet::from([text.clone()]));
    assert_eq!(store.path_from_hash_part(text.hash_part()).unwrap(), Some(text.clone()));
    assert_eq!(store.closure(std::slice::from_ref(&text)).unwrap().len(), 2);
    assert_eq!(store.all_paths().unwrap(), BTreeSet::from([tree.clone(), text.clone(), flat]));
    assert!(
        store
            .path_info(&StorePath::from_absolute("/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-x").unwrap())
            .unwrap()
            .is_none()
    );
    assert!(store.real_path(&tree).join("sub/big").exists());
    // A copy of a whole closure, in both directions.
    let other = Fixture::new();
    let accept = |_: &PathInfo| Ok::<_, StoreError>(());
    let paths = std::slice::from_ref(&text);
    assert_eq!(store::copy(&store, paths, &other.store, accept, &Silent).unwrap().len(), 2);
    let third = Fixture::new();
    let second = Daemon::start(&third).unwrap();
    let second_store = second.open(Arc::new(Silent));
    assert_eq!(store::copy(&other.store, paths, &second_store, accept, &Silent).unwrap().len(), 2);
    nix_store(&second.root, &["--verify", "--check-contents"]);
    store.verify(true, false).unwrap();
}

#[test]
fn what_the_daemon_refuses_leaves_the_connection_sound() {
    let fixture = Fixture::new();
    let Some(daemon) = Daemon::start(&fixture) else { return };
    let store = daemon.open(Arc::new(Silent));
    let source = fixture.source("source");
    let path = fixture.store.add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap();
    let info = fixture.store.require(&path).unwrap();
    let mut nar = Vec::new();
    fixture.store.write_nar(&path, &mut nar).unwrap();
    // Another content than announced, one that ends early, and one that nobody has signed.
    let mut changed = nar.clone();
    // In the middle of the large file.
    changed[nar.len() / 2] ^= 2;
    let said = |result: Result<(), StoreError>| match result.unwrap_err() {
        StoreError::DaemonSaid { message, .. } => message,
        other => panic!("{other}"),
    };
    let refused = said(store.add_nar(&info, &mut &changed[..]));
    assert!(refused.contains("hash mismatch"), "{refused}");
    let early = store.add_nar(&info, &mut &nar[..1000]).unwrap_err();
    assert!(matches!(early, StoreError::SizeMismatch { .. }), "{early}");
    let unsigned = PathInfo { content_address: None, ..info.clone() };
    assert!(said(store.add_nar(&unsigned, &mut &nar[..])).contains("signature"));
    assert!(!store.is_valid(&path).unwrap());
    let missing = source.join("gone");
    assert!(store.add_tree("x", &missing, Method::Nar, HashAlgo::Sha256, &mut everything).is_err());
    assert!(said(store.ensure(&path)).contains(path.base_name()));
    // Root is trusted, and may say that no signature matters.
    let options = DaemonOptions { take_unsigned: true, ..DaemonOptions::default() };
    daemon.open_with(options, Arc::new(Silent)).add_nar(&unsigned, &mut &nar[..]).unwrap();
    assert!(store.is_valid(&path).unwrap());
    store.add_signatures(&path, &["k-1:AAAA".to_owned()]).unwrap();
    assert!(store.require(&path).unwrap().signatures.contains("k-1:AAAA"));
}

/// Notes what it hears.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn start(&self, activity: Activity, name: &str, _: Option<u64>) -> TaskId {
        let mut notes = self.0.lock().unwrap();
        notes.push(format!("{activity:?} {name}"));
        TaskId(notes.len() as u64)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, outcome: Outcome) {
        self.0.lock().unwrap().push(format!("{outcome:?}"));
    }
    fn log(&self, _: TaskId, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(format!("warning: {message}"));
    }
}

fn derivation(name: &str, script: &str) -> Derivation {
    let mut derivation = Derivation {
        name: name.to_owned(),
        outputs: [("out".to_owned(), Output::Deferred)].into(),
        input_derivations: Default::default(),
        input_sources: BTreeSet::new(),
        system: format!("{}-linux", std::env::consts::ARCH),
        builder: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [("name".into(), name.into())].into(),
    };
    derivation.fill_output_paths(|_| Err("it has no inputs")).unwrap();
    derivation
}

#[test]
fn derivations_are_built_with_their_logs() {
    let fixture = Fixture::new();
    let Some(daemon) = Daemon::start(&fixture) else { return };
    let notes = Arc::new(Notes::default());
    let store = daemon.open(notes.clone());
    let good = store.add_derivation(&derivation("good", "echo one; echo two >&2; echo built > $out")).unwrap();
    let wanted = [format!("{good}!out")];
    let outlook = store.outlook(&wanted).unwrap();
    assert_eq!(outlook.build, BTreeSet::from([good.clone()]));
    store.build(&wanted).unwrap();
    let heard = notes.0.lock().unwrap().clone();
    for note in ["Build good", "one", "two", "Done"] {
        assert!(heard.iter().any(|heard| heard == note), "{heard:?} lacks {note}");
    }
    let out = store.derivation_outputs(&good).unwrap()["out"].clone().unwrap();
    assert_eq!(fs::read_to_string(store.real_path(&out)).unwrap(), "built\n");
    assert!(store.require(&out).unwrap().ultimate);
    assert_eq!(store.valid_derivers(&out).unwrap(), BTreeSet::from([good.clone()]));
    assert_eq!(store.read_derivation(&good).unwrap().output_path("out"), Some(out.clone()));

    let bad = store.add_derivation(&derivation("bad", "echo no; exit 3")).unwrap();
    let error = store.build(&[format!("{bad}!*")]).unwrap_err();
    assert!(matches!(&error, StoreError::DaemonSaid { message, .. } if message.contains("exit code 3")), "{error}");
    // Roots: a link, and this process.
    let link = fixture.dir.path().join("result");
    store.add_root(&link, &out).unwrap();
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(out.to_absolute().as_str()));
    assert!(store.roots().unwrap().iter().any(|root| root.path == out && root.root == link.to_str().unwrap()));
    let dead = store.collect_garbage(&GcOptions { dry_run: true, ..Default::default() }).unwrap();
    assert!(!dead.paths.contains(&out));
    drop(store);
    fs::remove_file(&link).unwrap();
    let store = daemon.open(Arc::new(Silent));
    let deleted = store.collect_garbage(&GcOptions::default()).unwrap();
    assert!(deleted.paths.contains(&out) && deleted.bytes > 0, "{deleted:?}");
    assert!(!store.is_valid(&out).unwrap());
    assert_eq!(store.valid_paths(&BTreeSet::from([out]), false).unwrap(), BTreeSet::new());
}
