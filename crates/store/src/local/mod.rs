//! The local store: Nix's chroot store layout below a root directory.
//!
//! ```text
//! ROOT/nix/store/<hash>-<name>          the objects
//! ROOT/nix/store/<hash>-<name>.lock     held by whoever makes that object
//! ROOT/nix/var/nix/db/db.sqlite         what is known of them; what is not here is not valid
//! ROOT/nix/var/nix/gcroots, profiles    permanent roots
//! ROOT/nix/var/nix/temproots/<pid>.<n>  what running processes need
//! ROOT/nix/var/nix/wharf-staging        objects being made, each in a directory that its maker holds locked
//! ```
//!
//! An object is written in staging, moved to its place and then registered, all while its path is locked. Whoever dies
//! on the way leaves nothing registered, and the next to open the store clears its staging away.

mod add;
mod db;
mod gc;
mod layout;
mod locks;
mod optimise;
mod prepared;
mod recover;
mod replace;
mod roots;
mod staging;
mod temp_roots;
pub(crate) mod trouble;
mod verify;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;

use crate::fs_nar::Filter;
use crate::{PathInfo, Store, StoreError};
use db::Database;
use layout::Layout;
use prepared::Prepared;
use temp_roots::TempRoots;

pub use gc::{Collected, GcOptions};
pub use locks::PathLocks;
pub use optimise::Optimised;
pub use roots::Root;
pub use staging::Staging;
pub use verify::{Problem, VerifyOptions};

/// A store below a root directory of the file system.
pub struct LocalStore {
    layout: Layout,
    db: Database,
    temp_roots: TempRoots,
    /// Where this process makes objects, one at a time; made when it is first needed.
    scratch: Mutex<Scratch>,
    /// What this process has made, and what has no place yet.
    prepared: Mutex<Prepared>,
    /// Held shared as long as the store is open, so that no schema migration starts meanwhile.
    _big_lock: File,
}

impl LocalStore {
    /// Opens the store below `root`, and makes a new one there if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where this user may not write, [`StoreError::Schema`] for one of another Nix's,
    /// [`StoreError::Database`] if the database is damaged.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_there(root).map_err(|error| error.of_store(root))
    }

    fn open_there(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::new(root)?;
        let big_lock = layout.prepare()?;
        let db = Database::open(&layout)?;
        let temp_roots = TempRoots::new(&layout);
        let store =
            Self { layout, db, temp_roots, scratch: Mutex::default(), prepared: Mutex::default(), _big_lock: big_lock };
        staging::clear_abandoned(&store.layout)?;
        recover::after_reboot(&store)?;
        Ok(store)
    }

    /// The root directory: what `nix --store` takes.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// `ROOT/nix/store`, which a sandbox may bind to `/nix/store`.
    pub fn store_dir(&self) -> &Path {
        &self.layout.store
    }

    /// `ROOT/nix/var/nix`, for what else belongs to a store (logs are in `ROOT/nix/var/log/nix`).
    pub fn state_dir(&self) -> &Path {
        &self.layout.state
    }

    /// `ROOT/nix/var/log/nix`, where build logs belong.
    pub fn log_dir(&self) -> PathBuf {
        self.layout.root.join("nix/var/log/nix")
    }

    /// Every valid object.
    pub fn all_paths(&self) -> Result<BTreeSet<StorePath>, StoreError> {
        self.db.all_paths()
    }

    /// The size of all objects together, as that of their NARs.
    pub fn total_size(&self) -> Result<u64, StoreError> {
        self.db.total_size()
    }

    /// The valid derivations that have this path as an output.
    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.db.valid_derivers(path)
    }

    /// Waits until the paths are locked for making the objects. They are unlocked when the result is dropped.
    ///
    /// Other processes, Nix's too, wait for each other by these locks; a process must not lock a path twice.
    pub fn lock(&self, paths: &[StorePath]) -> Result<PathLocks, StoreError> {
        Ok(PathLocks::acquire(&self.layout, paths, true)?.expect("waiting ends with the locks"))
    }

    /// As [`LocalStore::lock`], but `None` at once if another process holds one of them.
    pub fn try_lock(&self, paths: &[StorePath]) -> Result<Option<PathLocks>, StoreError> {
        PathLocks::acquire(&self.layout, paths, false)
    }

    /// A new directory in the store's file system in which objects can be made. It is deleted with the result.
    pub fn staging(&self) -> Result<Staging, StoreError> {
        Staging::create(&self.layout)
    }

    /// A path in the store's file system that nothing is at, for one object.
    fn scratch(&self) -> Result<PathBuf, StoreError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.used += 1;
        let used = scratch.used;
        if scratch.staging.is_none() {
            scratch.staging = Some(self.staging()?);
        }
        let staging = scratch.staging.as_ref().map_or(self.layout.staging.as_path(), Staging::path);
        Ok(staging.join(used.to_string()))
    }

    /// Registers objects that are in their places, in one transaction: all or none.
    ///
    /// The objects must have canonical metadata and the hashes that are said. References must be valid or among them.
    pub fn register(&self, infos: &[PathInfo]) -> Result<(), StoreError> {
        recover::note_write(self)?;
        self.db.register(infos, &self.layout)
    }

    /// Replaces the signatures of a valid object.
    pub fn set_signatures(&self, path: &StorePath, signatures: &BTreeSet<String>) -> Result<(), StoreError> {
        self.db.set_signatures(path, signatures)
    }
}

#[derive(Default)]
struct Scratch {
    staging: Option<Staging>,
    used: u64,
}

impl Store for LocalStore {
    fn name(&self) -> String {
        format!("the store in '{}'", self.root().display())
    }

    fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        self.db.path_info(path)
    }

    fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.db.is_valid(path)
    }

    fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError> {
        self.db.path_from_hash_part(hash_part)
    }

    fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.db.referrers(path)
    }

    fn real_path(&self, path: &StorePath) -> PathBuf {
        self.layout.real_path(path)
    }

    fn add_temp_root(&self, path: &StorePath) -> Result<(), StoreError> {
        self.temp_roots.add(std::slice::from_ref(path))
    }

    fn absent(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        self.temp_roots.add(paths)?;
        self.db.absent(paths)
    }

    fn add_text(&self, name: &str, content: &[u8], references: &BTreeSet<StorePath>) -> Result<StorePath, StoreError> {
        self.add_text_object(name, content, references)
    }

    fn add_tree(
        &self,
        name: &str,
        source: &Path,
        method: Method,
        algo: HashAlgo,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath, StoreError> {
        self.add_source(name, source, method, algo, filter)
    }

    fn add_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError> {
        self.add_from_nar(info, nar)
    }

    fn take_prepared(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.place_prepared(path)
    }

    fn add_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        self.add_indirect_root(link, path)
    }
}
