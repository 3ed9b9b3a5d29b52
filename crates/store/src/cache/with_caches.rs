//! A store together with what binary caches have: objects that are not in the store are read from the caches as they come.
//! Nothing of them is kept, or what was read is put into the store on the way.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix_formats::content_address::Method;
use nix_formats::hash::{HashAlgo, HashWriter};
use nix_formats::narinfo::NarInfo;
use nix_formats::store_path::StorePath;

use super::Substituters;
use super::substituters::Belief;
use crate::fs_nar::Filter;
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{LocalStore, PathInfo, Store, StoreError};

/// A store, and objects of caches.
pub struct WithCaches {
    store: Arc<dyn Store>,
    substituters: Arc<Substituters>,
    progress: Arc<dyn Progress>,
    /// What the caches say of the objects that are not in the store.
    elsewhere: HashMap<StorePath, NarInfo>,
    /// Where objects are put that are read.
    keep: Option<Arc<LocalStore>>,
}

impl WithCaches {
    /// A store, and objects that it does not have, as caches describe them.
    pub fn new(
        store: Arc<dyn Store>,
        substituters: Arc<Substituters>,
        progress: Arc<dyn Progress>,
        elsewhere: impl IntoIterator<Item = NarInfo>,
    ) -> Self {
        let elsewhere = elsewhere.into_iter().map(|info| (info.path.clone(), info)).collect();
        Self { store, substituters, progress, elsewhere, keep: None }
    }

    /// Puts what is read into this store too, which is the one that was given.
    pub fn keeping(self, store: Arc<LocalStore>) -> Self {
        Self { keep: Some(store), ..self }
    }

    /// Unpacks an object while its NAR goes to `out`.
    fn keep(&self, local: &LocalStore, info: &NarInfo, out: &mut dyn Write) -> Result<(), StoreError> {
        if local.write_prepared(&info.path, out)? {
            return Ok(());
        }
        let nar = self.nar(&info.path, Belief::SignedOrAddressed)?;
        let task = Task::start(&*self.progress, Activity::Substitute, info.path.name(), Some(info.nar_size));
        local.prepare_nar(&PathInfo::from(info), &mut Forked { nar, out, task: &task })?;
        task.finish(Outcome::Done);
        Ok(())
    }

    fn nar(&self, path: &StorePath, belief: Belief) -> Result<Box<dyn Read>, StoreError> {
        self.substituters.nar(path, belief, &*self.progress).map_err(io::Error::other).map_err(unreadable(path))
    }

    /// What the caches say of an object that the store does not have.
    fn elsewhere(&self, path: &StorePath) -> Result<Option<&NarInfo>, StoreError> {
        match self.elsewhere.get(path) {
            Some(info) if !self.store.is_valid(path)? => Ok(Some(info)),
            _ => Ok(None),
        }
    }
}

impl Store for WithCaches {
    fn name(&self) -> String {
        format!("{}, with what binary caches have", self.store.name())
    }

    fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        match self.elsewhere(path)? {
            Some(info) => Ok(Some(PathInfo::from(info))),
            None => self.store.path_info(path),
        }
    }

    fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        Ok(self.elsewhere.contains_key(path) || self.store.is_valid(path)?)
    }

    fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError> {
        let found = self.elsewhere.keys().find(|path| path.hash_part() == hash_part).cloned();
        found.map_or_else(|| self.store.path_from_hash_part(hash_part), |path| Ok(Some(path)))
    }

    fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        let mut referrers = self.store.referrers(path)?;
        let others = self.elsewhere.values().filter(|info| info.path != *path && info.references.contains(path));
        referrers.extend(others.map(|info| info.path.clone()));
        Ok(referrers)
    }

    fn real_path(&self, path: &StorePath) -> PathBuf {
        self.store.real_path(path)
    }

    fn add_temp_root(&self, path: &StorePath) -> Result<(), StoreError> {
        self.store.add_temp_root(path)
    }

    fn add_text(&self, name: &str, content: &[u8], references: &BTreeSet<StorePath>) -> Result<StorePath, StoreError> {
        self.store.add_text(name, content, references)
    }

    fn add_tree(
        &self,
        name: &str,
        source: &Path,
        method: Method,
        algo: HashAlgo,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath, StoreError> {
        self.store.add_tree(name, source, method, algo, filter)
    }

    fn add_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError> {
        self.store.add_nar(info, nar)
    }

    fn write_nar(&self, path: &StorePath, out: &mut dyn Write) -> Result<(), StoreError> {
        let Some(info) = self.elsewhere(path)? else { return self.store.write_nar(path, out) };
        if let Some(local) = &self.keep {
            return self.keep(local, info, out);
        }
        let failed = || unreadable(path);
        let nar = self.nar(path, Belief::Signed)?;
        let mut hashing = HashWriter::new(info.nar_hash.algo(), out);
        // One byte more than there should be is enough to see that it is another.
        let mut nar = BufReader::with_capacity(1 << 16, nar).take(info.nar_size + 1);
        io::copy(&mut nar, &mut hashing).map_err(failed())?;
        let (hash, size, _) = hashing.finish();
        if hash == info.nar_hash && size == info.nar_size {
            return Ok(());
        }
        let message = format!("it should be {} of {} bytes, and is {hash} of {size}", info.nar_hash, info.nar_size);
        Err(failed()(io::Error::new(io::ErrorKind::InvalidData, message)))
    }

    fn add_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        self.store.add_root(link, path)
    }
}

fn unreadable(path: &StorePath) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_absolute().into();
    |source| StoreError::Io { action: "read from a binary cache", path, source }
}

/// A NAR of which everything that is read goes somewhere else too.
struct Forked<'a> {
    nar: Box<dyn Read>,
    out: &'a mut dyn Write,
    task: &'a Task<'a>,
}

impl Read for Forked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.nar.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        self.task.advance(count as u64);
        Ok(count)
    }
}
