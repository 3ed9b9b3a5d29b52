//! Several caches as one: each object from the first that has it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix_formats::narinfo::NarInfo;
use nix_formats::store_path::StorePath;

use super::parallel::{in_order, spread};
use super::{BinaryCache, CacheError};
use crate::progress::Progress;
use crate::{LocalStore, Store, StoreError};

/// How many questions are on the way at the same time where nothing else is said.
const CONNECTIONS: usize = 32;

/// How many objects are unpacked at the same time, more than there are processors, since servers keep waiting.
const UNPACKED_AT_ONCE: usize = 8;

/// The caches that objects are taken from.
#[derive(Default)]
pub struct Substituters {
    caches: Vec<BinaryCache>,
    connections: Option<usize>,
    /// The caches that can be used, the preferred one first.
    order: OnceLock<Vec<usize>>,
    /// What was complained of already: the cache, and whether the whole of it.
    warned: Mutex<HashSet<(String, bool)>>,
}

/// What has to be taken so that some objects are in the store with all that they refer to.
#[derive(Default)]
pub struct Plan {
    nodes: Vec<Planned>,
    /// What neither the store nor a cache has. What needs it cannot be taken.
    pub missing: BTreeSet<StorePath>,
}

struct Planned {
    info: NarInfo,
    cache: usize,
}

impl Plan {
    /// What the caches say of the objects that would be taken.
    pub fn objects(&self) -> impl Iterator<Item = &NarInfo> {
        self.nodes.iter().map(|node| &node.info)
    }

    /// The objects that cannot be taken whole, because something that they refer to is missing, and what is missing.
    pub fn incomplete(&self) -> BTreeSet<StorePath> {
        let mut incomplete = self.missing.clone();
        loop {
            let lacks = |info: &&NarInfo| {
                !incomplete.contains(&info.path) && info.references.iter().any(|one| incomplete.contains(one))
            };
            let more: Vec<StorePath> = self.objects().filter(lacks).map(|info| info.path.clone()).collect();
            if more.is_empty() {
                return incomplete;
            }
            incomplete.extend(more);
        }
    }

    /// How many bytes would be downloaded; what a cache does not say counts as not compressed.
    pub fn download_size(&self) -> u64 {
        self.objects().map(|info| info.file_size.unwrap_or(info.nar_size)).sum()
    }

    /// How many bytes the objects would take.
    pub fn nar_size(&self) -> u64 {
        self.objects().map(|info| info.nar_size).sum()
    }
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

    fn find_with_cache(&self, path: &StorePath, public: bool, progress: &dyn Progress) -> Option<(usize, NarInfo)> {
        self.order(progress).iter().find_map(|index| {
            let cache = &self.caches[*index];
            if cache.is_default() && !public {
                return None;
            }
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

    /// Asks for many objects at the same time, so that [`Substituters::find`] need not wait for each.
    pub fn ask<'a>(&self, paths: impl IntoIterator<Item = (&'a StorePath, bool)>, progress: &dyn Progress) {
        spread(self.connections(), paths, |(path, public)| {
            self.find_with_cache(path, public, progress);
            ((), Vec::new())
        });
    }

    /// Finds out what has to be taken for `wanted`. Every object met is kept from collection, whether valid or not.
    ///
    /// # Errors
    /// The store fails.
    pub fn plan(
        &self,
        wanted: impl IntoIterator<Item = StorePath>,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<Plan, StoreError> {
        let wanted: BTreeSet<StorePath> = wanted.into_iter().collect();
        let seen = Mutex::new(wanted.clone());
        let look = |path: StorePath| -> Result<Option<Result<Planned, StorePath>>, StoreError> {
            store.add_temp_root(&path)?;
            if store.is_valid(&path)? {
                return Ok(None);
            }
            let found = self.find_with_cache(&path, true, progress);
            Ok(Some(found.map(|(cache, info)| Planned { info, cache }).ok_or(path)))
        };
        let found = spread(self.connections(), wanted, |path| {
            let found = look(path);
            let mut more = Vec::new();
            if let Ok(Some(Ok(planned))) = &found {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let new = planned.info.references.iter().filter(|reference| seen.insert((*reference).clone()));
                more.extend(new.cloned());
            }
            (found, more)
        });
        let mut plan = Plan::default();
        for found in found {
            match found? {
                None => {}
                Some(Ok(planned)) => plan.nodes.push(planned),
                Some(Err(path)) => drop(plan.missing.insert(path)),
            }
        }
        // An order that does not depend on which answer came first.
        plan.nodes.sort_by(|a, b| a.info.path.cmp(&b.info.path));
        Ok(plan)
    }

    /// Takes what a plan says, several objects at a time, each after what it refers to, so that the store is closed at
    /// any moment. What could not be taken, and why; what needs it was not taken either.
    pub fn carry_out(&self, plan: &Plan, store: &dyn Store, progress: &dyn Progress) -> Vec<CacheError> {
        let numbers: HashMap<&StorePath, usize> =
            plan.nodes.iter().enumerate().map(|(number, node)| (&node.info.path, number)).collect();
        let needs: Vec<Vec<usize>> = plan
            .nodes
            .iter()
            .map(|node| others(&node.info).filter_map(|reference| numbers.get(reference).copied()).collect())
            .collect();
        let state = Mutex::new((vec![false; plan.nodes.len()], Vec::new()));
        in_order(UNPACKED_AT_ONCE, &needs, |number| {
            let node = &plan.nodes[number];
            if let Some(gap) = others(&node.info).find(|reference| plan.missing.contains(*reference)) {
                let error = self.missing(gap);
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.0[number] = true;
                state.1.push(error);
                return false;
            }
            let result = self.take_one(node, store, progress);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0[number] = true;
            let done = result.is_ok();
            state.1.extend(result.err());
            done
        });
        let (worked_on, mut errors) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Without an error, what was not reached waits for itself.
        if errors.is_empty()
            && let Some(number) = worked_on.iter().position(|done| !done)
        {
            let Planned { info, cache } = &plan.nodes[number];
            let address = self.caches[*cache].address().to_owned();
            errors.push(CacheError::Cycle { address, path: info.path.clone() });
        }
        errors
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
        for index in self.order(progress) {
            match self.caches[*index].replace(path, store, progress) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.missing(path)))
    }

    /// Takes one object: from the cache that the plan says, else from another.
    fn take_one(&self, node: &Planned, store: &dyn Store, progress: &dyn Progress) -> Result<(), CacheError> {
        let others = self.order(progress).iter().filter(|index| **index != node.cache);
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

    /// The caches that can be used, the preferred one first. Of two with the same priority, the one named first.
    fn order(&self, progress: &dyn Progress) -> &[usize] {
        self.order.get_or_init(|| {
            let mut order = spread(self.caches.len(), 0..self.caches.len(), |index| {
                let cache = &self.caches[index];
                let priority = cache.priority().inspect_err(|error| self.warn(cache, error, progress));
                (priority.ok().map(|priority| (priority, index)), Vec::new())
            });
            order.sort_unstable();
            order.into_iter().flatten().map(|(_, index)| index).collect()
        })
    }

    fn connections(&self) -> usize {
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

    fn missing(&self, path: &StorePath) -> CacheError {
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

/// The references of an object to others.
fn others(info: &NarInfo) -> impl Iterator<Item = &StorePath> {
    info.references.iter().filter(|reference| **reference != info.path)
}
