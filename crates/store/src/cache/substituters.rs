//! Several caches as one: each object from the first that has it.

use std::collections::HashSet;
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix_formats::narinfo::NarInfo;
use nix_formats::realisation::OutputId;
use nix_formats::store_path::StorePath;

use super::parallel::spread;
use super::plan::Planned;
use super::{BinaryCache, CacheError};
use crate::progress::Progress;
use crate::{LocalStore, Store, StoreError};

/// How many questions are on the way at the same time where nothing else is said. They are small, and what they cost is the
/// time until the answer comes.
const CONNECTIONS: usize = 256;

/// How many threads wait for the answers that one thread cannot wait for: of caches that are no plain servers.
const MOST_THREADS: usize = 64;

/// What makes an object's NAR worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Somebody who is trusted has signed it.
    Signed,
    /// The same, or its path follows from its content, which the caller compares when all of it has passed by.
    SignedOrAddressed,
}

/// The caches that objects are taken from.
#[derive(Default)]
pub struct Substituters {
    pub(super) caches: Vec<BinaryCache>,
    connections: Option<usize>,
    /// The caches that can be used, the preferred one first: those that somebody has named, and all.
    orders: [OnceLock<Vec<usize>>; 2],
    /// What was complained of already: the cache, and whether the whole of it.
    warned: Mutex<HashSet<(String, bool)>>,
}

impl Substituters {
    /// These caches; which is preferred is asked of them when it is needed.
    pub fn new(caches: Vec<BinaryCache>) -> Self {
        Self { caches, ..Self::default() }
    }

    /// With at most this many questions on the way at the same time.
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections: Some(connections.max(1)), ..self }
    }

    /// Whether there is no cache.
    pub fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    /// Whether there is a cache that somebody has named.
    pub fn has_named(&self) -> bool {
        self.caches.iter().any(|cache| !cache.is_default())
    }

    /// What the first cache that has an object says of it. `public` is whether the object may be asked for everywhere.
    /// A cache that fails, or whose object nobody trusted has signed, does not have it, with a warning.
    pub fn find(&self, path: &StorePath, public: bool, progress: &dyn Progress) -> Option<NarInfo> {
        self.find_with_cache(path, public, progress).map(|(_, info)| info)
    }

    pub(super) fn find_with_cache(
        &self,
        path: &StorePath,
        public: bool,
        progress: &dyn Progress,
    ) -> Option<(usize, NarInfo)> {
        self.order(public, progress).iter().find_map(|index| {
            let cache = &self.caches[*index];
            let info = cache.info(path).and_then(|info| match info {
                Some(info) => cache.check_signature(&info).map(|()| Some(info)),
                None => Ok(None),
            });
            info.unwrap_or_else(|error| {
                self.warn(cache, &error, progress);
                None
            })
            .map(|info| (*index, info))
        })
    }

    /// Which object the output of a derivation is of which only building would tell, as the first cache says that
    /// knows. What is not signed by whom it must be does not count, with a warning. `public` is as for
    /// [`Substituters::find`].
    pub fn realisation(&self, id: &OutputId, public: bool, progress: &dyn Progress) -> Option<StorePath> {
        self.order(public, progress).iter().find_map(|index| {
            let cache = &self.caches[*index];
            let found = cache.realisation(id).inspect_err(|error| self.warn(cache, error, progress));
            found.ok().flatten().map(|realisation| realisation.path)
        })
    }

    /// Asks for many objects at the same time, so that [`Substituters::find`] need not wait for each. `public` is whether an
    /// object may be asked for everywhere.
    pub fn ask<'a>(&self, paths: impl IntoIterator<Item = (&'a StorePath, bool)>, progress: &dyn Progress) {
        let paths: Vec<_> = paths.into_iter().collect();
        let mut open = paths.clone();
        let has_public = paths.iter().any(|(_, public)| *public);
        for index in self.order(has_public, progress) {
            let cache = &self.caches[*index];
            let asked = open.iter().filter(|(_, public)| *public || !cache.is_default());
            cache.learn(&asked.map(|(path, _)| *path).collect::<Vec<_>>(), self.connections());
            open.retain(|(path, _)| cache.known(path) != Some(true));
        }
        let unsettled = paths.into_iter().filter(|(path, public)| !self.is_settled(path, *public, progress));
        spread(self.connections().min(MOST_THREADS), unsettled, |(path, public)| {
            self.find_with_cache(path, public, progress);
            ((), Vec::new())
        });
    }

    /// Whether it is known which cache has an object, or that none has it.
    fn is_settled(&self, path: &StorePath, public: bool, progress: &dyn Progress) -> bool {
        let caches = self.order(public, progress).iter().map(|index| &self.caches[*index]);
        let mut answers = caches.map(|cache| cache.known(path));
        answers.find(|answer| *answer != Some(false)).is_none_or(|answer| answer.is_some())
    }

    /// Takes objects and all that they refer to into the store, as far as they are not there; returns what was taken.
    ///
    /// # Errors
    /// The first thing that could not be taken. What was taken before stays.
    pub fn take(
        &self,
        wanted: impl IntoIterator<Item = StorePath>,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<Vec<StorePath>, CacheError> {
        let plan = self.plan(wanted, store, progress)?;
        if let Some(path) = plan.missing.first() {
            return Err(self.why_missing(path));
        }
        match self.carry_out(&plan, store, progress).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(plan.nodes.into_iter().map(|node| node.info.path).collect()),
        }
    }

    /// Puts a good copy of a valid object in the place of one that is damaged.
    ///
    /// # Errors
    /// No cache has the same object, or what it has is not what it says.
    pub fn replace(&self, path: &StorePath, store: &LocalStore, progress: &dyn Progress) -> Result<(), CacheError> {
        let mut first_error = None;
        for index in self.order(true, progress) {
            match self.caches[*index].replace(path, store, progress) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.missing(path)))
    }

    /// The NAR of an object as it comes, from the first cache that has it and may be believed. The caller compares its hash.
    ///
    /// # Errors
    /// No cache has it, or nobody who is trusted vouches for it.
    pub fn nar(&self, path: &StorePath, belief: Belief, progress: &dyn Progress) -> Result<Box<dyn Read>, CacheError> {
        let mut first_error = None;
        for index in self.order(true, progress) {
            match self.caches[*index].believed_nar(path, belief) {
                Ok(Some(nar)) => return Ok(nar),
                Ok(None) => {}
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.missing(path)))
    }

    /// Takes one object: from the cache that the plan says, else from another.
    pub(super) fn take_one(
        &self,
        node: &Planned,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<(), CacheError> {
        if store.take_prepared(&node.info.path).map_err(|source| self.refused(node, source))? {
            return Ok(());
        }
        // Asked for only if that one fails.
        let others = std::iter::once_with(|| self.order(true, progress)).flatten();
        let others = others.filter(|index| **index != node.cache);
        let mut first_error = None;
        for index in std::iter::once(&node.cache).chain(others) {
            match self.caches[*index].take(&node.info.path, store, progress) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.missing(&node.info.path)))
    }

    fn refused(&self, node: &Planned, source: StoreError) -> CacheError {
        let address = self.caches[node.cache].address().to_owned();
        CacheError::Store { address, path: node.info.path.clone(), source: Box::new(source) }
    }

    /// The caches that can be used, the preferred one first. Of two with the same priority, the one named first. What is not
    /// `public` is no business of caches that nobody has named, and they are not even asked for their priority.
    fn order(&self, public: bool, progress: &dyn Progress) -> &[usize] {
        self.orders[usize::from(public)].get_or_init(|| {
            let usable = (0..self.caches.len()).filter(|index| public || !self.caches[*index].is_default());
            let mut order = spread(self.caches.len(), usable, |index| {
                let cache = &self.caches[index];
                let priority = cache.priority().inspect_err(|error| self.warn(cache, error, progress));
                (priority.ok().map(|priority| (priority, index)), Vec::new())
            });
            order.sort_unstable();
            order.into_iter().flatten().map(|(_, index)| index).collect()
        })
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// Why an object is missing: what was complained of, if anything, is better than that it is not there.
    fn why_missing(&self, path: &StorePath) -> CacheError {
        for cache in &self.caches {
            if let Some(reason) = cache.failure() {
                return CacheError::Unavailable { path: path.clone(), reason: reason.to_owned() };
            }
            let info = cache.info(path);
            if let Err(error) = info.and_then(|info| info.map_or(Ok(()), |info| cache.check_signature(&info))) {
                return error;
            }
        }
        self.missing(path)
    }

    pub(super) fn missing(&self, path: &StorePath) -> CacheError {
        let addresses: Vec<&str> = self.caches.iter().map(BinaryCache::address).collect();
        CacheError::Missing { path: path.clone(), addresses: addresses.join(", ") }
    }

    /// Warns once of each cache, and once of objects in it.
    fn warn(&self, cache: &BinaryCache, error: &CacheError, progress: &dyn Progress) {
        let key = (cache.address().to_owned(), error.is_of_the_cache());
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            progress.warn(&error.to_string());
        }
    }
}
