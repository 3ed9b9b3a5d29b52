//! Outputs of which only building tells the paths, taken by the word of binary caches and daemons, beside a real Nix.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use build::{Options, Realise, Realised, Wanted, known_to_daemon, known_to_store};
use nix_formats::realisation::Realisation;
use nix_formats::signature::{PublicKey, SecretKey};
use nix_formats::store_path::StorePath;
use peers::NixDaemon;
use store::cache::{
    BinaryCache, CacheOptions, Directory, ExportOptions, Substituters, Transport, export, put_realisations,
};
use store::daemon::{DaemonAddress, DaemonOptions, DaemonSource, Watching};
use store::progress::Silent;
use store::{DaemonStore, PathInfo, Store, StoreError};

use crate::floating::graph;
use crate::workshop::Workshop;

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[1; 32])
}

fn caches(transport: impl Transport + 'static, keys: Option<PublicKey>) -> Arc<Substituters> {
    let options = CacheOptions { keys: keys.map(|key| [key].into()), ..CacheOptions::default() };
    Arc::new(Substituters::new(vec![BinaryCache::new(Box::new(transport), options)]))
}

/// A store that has the derivations of the graph, and nothing built.
struct Consumer {
    workshop: Workshop,
    wanted: Vec<Wanted>,
}

impl Consumer {
    fn new() -> Option<Consumer> {
        let workshop = Workshop::new()?;
        let wanted = graph(&workshop).into_iter().map(Wanted::all).collect();
        Some(Consumer { workshop, wanted })
    }

    /// What would be built.
    fn outlook(&self, caches: &Arc<Substituters>) -> Vec<StorePath> {
        let builder = self.workshop.builder(Options::new()).with_substituters(Arc::clone(caches));
        builder.outlook(&self.wanted).unwrap().build
    }

    /// Takes everything: it can build nothing.
    fn take(&self, caches: &Arc<Substituters>) -> Vec<Realised> {
        assert_eq!(self.outlook(caches), []);
        let options = Options { systems: BTreeSet::new(), ..Options::new() };
        let builder = self.workshop.builder(options).with_substituters(Arc::clone(caches));
        let realised = builder.realise(&self.wanted).unwrap_or_else(|error| panic!("{error}"));
        self.workshop.verify_clean();
        realised
    }
}

/// A daemon that has built the graph, and what that gave.
fn daemon_with(derivations: &[StorePath], workshop: &Workshop) -> Option<(NixDaemon, Arc<DaemonStore>)> {
    let daemon = NixDaemon::start(&[])?;
    let store = open(&daemon);
    let accept = |_: &PathInfo| Ok::<_, StoreError>(());
    store::copy(&*workshop.store, derivations, &*store, accept, &Silent).unwrap();
    let derived: Vec<String> = derivations.iter().map(|path| format!("{}!*", path.to_absolute())).collect();
    let watching = Watching { progress: &Silent, cancelled: None };
    for (what, result) in store.build_each(&derived, false, watching).unwrap() {
        assert!(result.is_done(), "{what}: {}", result.message);
    }
    Some((daemon, store))
}

fn open(daemon: &NixDaemon) -> Arc<DaemonStore> {
    let address = DaemonAddress::parse(&daemon.address(), None).unwrap().unwrap();
    Arc::new(address.open(DaemonOptions::default(), Arc::new(Silent)).unwrap())
}

/// Where a directory is for the daemon's programs.
fn inside(daemon: &NixDaemon, path: &Path) -> PathBuf {
    Path::new("/").join(path.strip_prefix(daemon.system()).unwrap())
}

fn outputs(realised: &[Realised]) -> BTreeSet<StorePath> {
    realised.iter().flat_map(|one| one.outputs.values().cloned()).collect()
}

fn of_floating(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory.join("realisations")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_nix_has_built_is_taken_from_its_cache_and_its_daemon() {
    let Some(first) = Consumer::new() else { return };
    let derivations: Vec<StorePath> = first.wanted.iter().map(|wanted| wanted.derivation.clone()).collect();
    let Some((daemon, theirs)) = daemon_with(&derivations, &first.workshop) else { return };
    let directory = daemon.shared("cache");
    let is_old = theirs.nix_version().unwrap().starts_with("2.8");
    let mut copy = daemon.program("nix");
    copy.args(["copy", "--to", &format!("file://{}", inside(&daemon, &directory).display())]);
    copy.args(derivations.iter().map(|path| format!("{}{}", path.to_absolute(), if is_old { "" } else { "^*" })));
    peers::succeed(&mut copy);
    let built: BTreeSet<StorePath> = derivations
        .iter()
        .flat_map(|path| theirs.derivation_outputs(path).unwrap().into_values())
        .map(Option::unwrap)
        .collect();
    assert_eq!(outputs(&first.take(&caches(Directory::new(&directory), None))), built);
    let Some(second) = Consumer::new() else { return };
    let source = DaemonSource::new(&daemon.socket(), &daemon.root().join("nix/store"));
    assert_eq!(outputs(&second.take(&caches(source, None))), built);
    // What is taken from the daemon's store into a cache says as much as what Nix has put there.
    let own = daemon.shared("own");
    let objects: Vec<StorePath> = built.iter().cloned().collect();
    let cache = Directory::new(&own);
    export(&*theirs, &objects, &cache, &ExportOptions::default(), &Silent).unwrap();
    build::DaemonBuilder::new(Arc::clone(&theirs), Options::new(), &own).realise(&first.wanted).unwrap();
    let notes = build::DaemonBuilder::realisations(&own);
    let known = known_to_daemon(&theirs, &notes, &theirs.closure(&objects).unwrap()).unwrap();
    let ids: BTreeSet<String> = known.iter().map(|one| format!("{}.doi", one.id)).collect();
    // Nix writes them of the two derivations too whose paths were known, where nobody asks for them.
    assert!(of_floating(&directory).difference(&ids).count() <= 2, "{:?} {ids:?}", of_floating(&directory));
    put_realisations(&cache, known, &[]).unwrap();
    let Some(fourth) = Consumer::new() else { return };
    assert_eq!(outputs(&fourth.take(&caches(Directory::new(&own), None))), built);
    // Nobody has signed any of it.
    let Some(third) = Consumer::new() else { return };
    let distrustful = caches(Directory::new(&directory), Some(key().public_key()));
    assert!(!third.outlook(&distrustful).is_empty());
}

#[test]
fn nix_takes_what_was_built_here() {
    let (Some(ours), Some(daemon)) = (Consumer::new(), NixDaemon::start(&[])) else { return };
    let realised = ours.workshop.builder(Options::new()).realise(&ours.wanted).unwrap();
    let objects: Vec<StorePath> = outputs(&realised).into_iter().collect();
    let directory = daemon.shared("cache");
    let (cache, keys) = (Directory::new(&directory), [key()]);
    let store = &*ours.workshop.store;
    export(store, &objects, &cache, &ExportOptions { keys: &keys, ..ExportOptions::default() }, &Silent).unwrap();
    let known = known_to_store(store, &store.closure(&objects).unwrap()).unwrap();
    put_realisations(&cache, known, &keys).unwrap();
    assert!(of_floating(&directory).len() >= 5, "{:?}", of_floating(&directory));
    let derivations: Vec<StorePath> = ours.wanted.iter().map(|wanted| wanted.derivation.clone()).collect();
    let accept = |_: &PathInfo| Ok::<_, StoreError>(());
    store::copy(store, &derivations, &*open(&daemon), accept, &Silent).unwrap();
    let address = format!("file://{}", inside(&daemon, &directory).display());
    let realise = |key: &str| {
        let mut nix = daemon.program("nix-store");
        nix.args(["--realise", "--max-jobs", "0", "--option", "substituters", &address]);
        nix.args(["--option", "require-sigs", "true", "--option", "trusted-public-keys", key]);
        nix.args(derivations.iter().map(StorePath::to_absolute));
        nix
    };
    // By the word of a key that it does not trust it takes nothing, and by that of ours everything.
    let stranger = SecretKey::from_seed("test-1", &[2; 32]).public_key().to_string();
    assert!(!realise(&stranger).output().unwrap().status.success());
    let printed = peers::succeed(&mut realise(&key().public_key().to_string()));
    let theirs: BTreeSet<StorePath> =
        printed.lines().map(|line| StorePath::from_absolute(line.trim().as_bytes()).unwrap()).collect();
    assert_eq!(theirs, objects.into_iter().collect());
    // So does another store of ours.
    let Some(other) = Consumer::new() else { return };
    assert_eq!(outputs(&other.take(&caches(Directory::new(&directory), Some(key().public_key())))), theirs);
}

#[test]
fn a_cache_that_lies_is_not_believed() {
    let (Some(ours), Some(other)) = (Consumer::new(), Consumer::new()) else { return };
    let realised = ours.workshop.builder(Options::new()).realise(&ours.wanted).unwrap();
    let objects: Vec<StorePath> = outputs(&realised).into_iter().collect();
    let directory = tempfile::tempdir().unwrap();
    let (cache, keys) = (Directory::new(directory.path()), [key()]);
    let store = &*ours.workshop.store;
    export(store, &objects, &cache, &ExportOptions { keys: &keys, ..ExportOptions::default() }, &Silent).unwrap();
    put_realisations(&cache, known_to_store(store, &store.closure(&objects).unwrap()).unwrap(), &keys).unwrap();
    let everything = other.outlook(&caches(Directory::new(directory.path()), Some(key().public_key())));
    assert_eq!(everything, []);
    for name in of_floating(directory.path()) {
        let file = directory.path().join("realisations").join(name);
        let mut said = Realisation::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        // Another object that the cache has, which nobody has said to be this output.
        said.path = objects.iter().find(|object| **object != said.path).unwrap().clone();
        fs::write(file, said.to_string()).unwrap();
    }
    let Some(third) = Consumer::new() else { return };
    let caches = caches(Directory::new(directory.path()), Some(key().public_key()));
    assert!(!third.outlook(&caches).is_empty());
    let builder = third.workshop.builder(Options::new()).with_substituters(caches);
    assert_eq!(outputs(&builder.realise(&third.wanted).unwrap()), objects.into_iter().collect());
    third.workshop.verify_clean();
}
