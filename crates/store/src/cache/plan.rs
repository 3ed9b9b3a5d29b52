//! What has to be taken from caches, and taking it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use nix_formats::narinfo::NarInfo;
use nix_formats::store_path::StorePath;

use super::parallel::in_order;
use super::{CacheError, Substituters};
use crate::progress::Progress;
use crate::{Store, StoreError};

/// How many objects are unpacked at the same time, more than there are processors, since servers keep waiting.
const UNPACKED_AT_ONCE: usize = 8;

/// What has to be taken so that some objects are in the store with all that they refer to.
#[derive(Default)]
pub struct Plan {
    pub(super) nodes: Vec<Planned>,
    /// What neither the store nor a cache has. What needs it cannot be taken.
    pub missing: BTreeSet<StorePath>,
}

pub(super) struct Planned {
    pub info: NarInfo,
    /// The cache's number among the substituters.
    pub cache: usize,
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
        let mut seen: BTreeSet<StorePath> = wanted.into_iter().collect();
        let mut level: Vec<StorePath> = seen.iter().cloned().collect();
        let mut plan = Plan::default();
        // What the objects of one level refer to is the next: all of a level are asked for at the same time.
        while !level.is_empty() {
            let absent = store.absent(&std::mem::take(&mut level))?;
            self.ask(absent.iter().map(|path| (path, true)), progress);
            for path in absent {
                let Some((cache, info)) = self.find_with_cache(&path, true, progress) else {
                    plan.missing.insert(path);
                    continue;
                };
                level.extend(info.references.iter().filter(|reference| seen.insert((*reference).clone())).cloned());
                plan.nodes.push(Planned { info, cache });
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
            let gap = others(&node.info).find(|reference| plan.missing.contains(*reference));
            let result = match gap {
                Some(gap) => Err(self.missing(gap)),
                None => self.take_one(node, store, progress),
            };
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
}

/// The references of an object to others.
fn others(info: &NarInfo) -> impl Iterator<Item = &StorePath> {
    info.references.iter().filter(|reference| **reference != info.path)
}
