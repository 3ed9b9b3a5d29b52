//! Collection of what no root needs.
//!
//! Under the collector's lock, which nobody can add a temporary root against, the dead objects are made invalid and
//! moved out of the way; deleting their files, which takes long, comes after the lock is released.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix_formats::store_path::{HASH_LEN, StorePath};
use rustix::fs::FlockOperation;

use super::add::move_object;
use super::layout::open_lock_file;
use super::locks::try_flock;
use super::{LocalStore, PathLocks, Root, Staging};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{Store, StoreError, fs_nar};

/// What to collect.
#[derive(Clone, Debug, Default)]
pub struct GcOptions {
    /// Only say what is dead.
    pub dry_run: bool,
    /// Keep objects registered at or after this time, in seconds since 1970, and what they need.
    pub keep_registered_since: Option<i64>,
    /// Stop when this many bytes are freed.
    pub max_freed: Option<u64>,
}

/// What was collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The dead objects, deleted unless the collection was a dry run.
    pub paths: BTreeSet<StorePath>,
    /// Bytes that their files took; in a dry run the sizes of their NARs.
    pub bytes: u64,
}

type Graph = BTreeMap<StorePath, BTreeSet<StorePath>>;

impl LocalStore {
    /// Deletes what no root needs. Safe while other processes build.
    pub fn collect_garbage(&self, options: &GcOptions, progress: &dyn Progress) -> Result<Collected, StoreError> {
        let task = Task::start(progress, Activity::Collect, "garbage", None);
        let gc_lock = open_lock_file(&self.layout.gc_lock)?;
        try_flock(&gc_lock, FlockOperation::LockExclusive, &self.layout.gc_lock)?;
        let temporary = self.temporary_roots()?;
        let graph = self.db.reference_graph()?;
        let live = self.live(&graph, &temporary, options)?;
        let dead: BTreeSet<_> = graph.keys().filter(|path| !live.contains(*path)).cloned().collect();
        let (dead, estimate) = self.limit(&graph, dead, options.max_freed)?;
        if options.dry_run {
            task.finish(Outcome::Done);
            return Ok(Collected { paths: dead, bytes: estimate });
        }
        let trash = self.staging()?;
        self.db.invalidate(&dead)?;
        for path in &dead {
            discard(&self.real_path(path), &trash)?;
        }
        if options.max_freed.is_none() {
            self.discard_leftovers(&temporary, &trash)?;
        }
        drop(gc_lock);
        let mut bytes = 0;
        for entry in fs::read_dir(trash.path()).map_err(StoreError::io("read directory", trash.path()))? {
            let path = entry.map_err(StoreError::io("read directory", trash.path()))?.path();
            let freed = fs_nar::remove(&path)?;
            task.advance(freed);
            bytes += freed;
        }
        bytes += self.drop_unused_links()?;
        task.finish(Outcome::Done);
        Ok(Collected { paths: dead, bytes })
    }

    /// Deletes these objects and what refers to them; an error if a root needs one of those.
    pub fn delete(&self, paths: &[StorePath], progress: &dyn Progress) -> Result<Collected, StoreError> {
        let task = Task::start(progress, Activity::Collect, "store objects", None);
        let gc_lock = open_lock_file(&self.layout.gc_lock)?;
        try_flock(&gc_lock, FlockOperation::LockExclusive, &self.layout.gc_lock)?;
        let graph = self.db.reference_graph()?;
        let mut roots: Vec<_> = self.temporary_roots()?;
        roots.extend(self.permanent_roots()?);
        roots.extend(self.runtime_roots());
        for path in paths {
            self.require(path)?;
            for (root, object) in &roots {
                if reachable(&graph, [object.clone()]).contains(path) {
                    return Err(StoreError::InUse { path: path.clone(), needed_by: root.to_string() });
                }
            }
        }
        let dead = with_referrers(&graph, paths);
        let trash = self.staging()?;
        self.db.invalidate(&dead)?;
        for path in &dead {
            discard(&self.real_path(path), &trash)?;
        }
        drop(gc_lock);
        let bytes = fs_nar::remove(trash.path())?;
        task.finish(Outcome::Done);
        Ok(Collected { paths: dead, bytes })
    }

    fn live(
        &self,
        graph: &Graph,
        temporary: &[(Root, StorePath)],
        options: &GcOptions,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        let mut roots: BTreeSet<StorePath> = temporary.iter().map(|(_, path)| path.clone()).collect();
        roots.extend(self.permanent_roots()?.into_values());
        roots.extend(self.runtime_roots().into_iter().map(|(_, path)| path));
        if let Some(time) = options.keep_registered_since {
            roots.extend(self.db.registered_since(time)?);
        }
        // Derivations of live outputs stay, as with Nix's `keep-derivations`: they tell where an object came from.
        let derivers = self.db.derivers()?;
        let mut live = BTreeSet::new();
        let mut queue: Vec<StorePath> = roots.into_iter().collect();
        while let Some(path) = queue.pop() {
            let Some(references) = graph.get(&path) else { continue };
            if live.insert(path.clone()) {
                queue.extend(references.iter().cloned());
                queue.extend(derivers.get(&path).into_iter().flatten().cloned());
            }
        }
        Ok(live)
    }

    /// Takes dead objects, the oldest with their referrers first, until their sizes reach the limit.
    fn limit(
        &self,
        graph: &Graph,
        dead: BTreeSet<StorePath>,
        limit: Option<u64>,
    ) -> Result<(BTreeSet<StorePath>, u64), StoreError> {
        let infos = dead.iter().filter_map(|path| self.path_info(path).transpose()).collect::<Result<Vec<_>, _>>()?;
        let Some(limit) = limit else {
            let size = infos.iter().map(|info| info.nar_size).sum();
            return Ok((dead, size));
        };
        let sizes: BTreeMap<&StorePath, u64> = infos.iter().map(|info| (&info.path, info.nar_size)).collect();
        let mut by_age: Vec<_> = infos.iter().collect();
        by_age.sort_by_key(|info| info.registration_time);
        let referrers = reversed(graph);
        let mut size = 0;
        let mut taken = BTreeSet::new();
        for info in by_age {
            if size >= limit {
                break;
            }
            for path in reachable(&referrers, [info.path.clone()]) {
                if taken.insert(path.clone()) {
                    size += sizes.get(&path).copied().unwrap_or(0);
                }
            }
        }
        Ok((taken, size))
    }

    /// Moves away what is in the store directory without being valid, and nobody is making.
    fn discard_leftovers(&self, temporary: &[(Root, StorePath)], trash: &Staging) -> Result<(), StoreError> {
        let failed = || StoreError::io("read directory", self.store_dir());
        let needed: BTreeSet<&str> = temporary.iter().map(|(_, path)| path.hash_part()).collect();
        for entry in fs::read_dir(self.store_dir()).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name == ".links" || name.get(..HASH_LEN).is_some_and(|hash_part| needed.contains(hash_part)) {
                continue;
            }
            if let Some(object) = name.strip_suffix(".lock").and_then(|name| StorePath::from_base_name(name).ok()) {
                // Taking the lock and letting it go deletes the file, unless somebody holds it.
                drop(PathLocks::acquire(&self.layout, &[object], false)?);
                continue;
            }
            match StorePath::from_base_name(name) {
                Ok(object) if self.is_valid(&object)? => {}
                Ok(object) => {
                    if let Some(_locks) = PathLocks::acquire(&self.layout, &[object], false)? {
                        discard(&entry.path(), trash)?;
                    }
                }
                // Nix's temporary directories are locked while they are in use.
                Err(_) if fs::File::open(entry.path()).is_ok_and(|file| is_locked(&file)) => {}
                Err(_) => discard(&entry.path(), trash)?,
            }
        }
        Ok(())
    }

    /// Nix's optimiser keeps a hard link of each file in `.links`; one that is the last link is of no use.
    fn drop_unused_links(&self) -> Result<u64, StoreError> {
        let links = self.store_dir().join(".links");
        let entries = match fs::read_dir(&links) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(StoreError::io("read directory", links)(error)),
        };
        let mut freed = 0;
        for entry in entries {
            let path = entry.map_err(StoreError::io("read directory", &links))?.path();
            if path.symlink_metadata().is_ok_and(|metadata| metadata.nlink() == 1) {
                freed += fs_nar::remove(&path)?;
            }
        }
        Ok(freed)
    }
}

/// Makes objects, and what refers to them, invalid. The files stay, for the next collection.
pub(super) fn invalidate_with_referrers(store: &LocalStore, paths: &[StorePath]) -> Result<(), StoreError> {
    if paths.is_empty() {
        return Ok(());
    }
    let graph = store.db.reference_graph()?;
    store.db.invalidate(&with_referrers(&graph, paths))
}

fn reachable(graph: &Graph, from: impl IntoIterator<Item = StorePath>) -> BTreeSet<StorePath> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<StorePath> = from.into_iter().collect();
    while let Some(path) = queue.pop() {
        if let Some(references) = graph.get(&path)
            && found.insert(path)
        {
            queue.extend(references.iter().cloned());
        }
    }
    found
}

fn with_referrers(graph: &Graph, paths: &[StorePath]) -> BTreeSet<StorePath> {
    reachable(&reversed(graph), paths.iter().cloned())
}

/// For each object those that refer to it.
fn reversed(graph: &Graph) -> Graph {
    let mut reversed = Graph::new();
    for (referrer, references) in graph {
        reversed.entry(referrer.clone()).or_default();
        for reference in references {
            reversed.entry(reference.clone()).or_default().insert(referrer.clone());
        }
    }
    reversed
}

/// Moves a file or directory into the trash; none there is no error.
fn discard(path: &Path, trash: &Staging) -> Result<(), StoreError> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    move_object(path, &trash.path().join(path.file_name().unwrap_or_default()))
}

fn is_locked(file: &fs::File) -> bool {
    matches!(try_flock(file, FlockOperation::NonBlockingLockExclusive, Path::new("")), Ok(false))
}
