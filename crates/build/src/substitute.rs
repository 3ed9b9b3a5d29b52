//! Taking outputs from binary caches instead of building them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use store::Store;
use store::cache::BinaryCache;
use store::progress::Progress;

use crate::attributes::Attributes;
use crate::builder::Builder;

/// What may be taken from caches.
#[derive(Default)]
pub(crate) struct Substitutes {
    /// Objects that could not be taken, whatever a cache says.
    refused: BTreeSet<StorePath>,
}

impl Substitutes {
    /// Whether the caches have every one of these outputs, and the derivation lets them be taken.
    pub fn offer(&self, builder: &Builder, derivation: &Derivation, outputs: &[StorePath]) -> bool {
        let allowed = || {
            let attributes = Attributes::of(derivation).ok();
            // Nix takes any other text than "1" for no, but what is not there for yes.
            attributes.is_some_and(|attributes| !matches!(attributes.boolean("allowSubstitutes"), Ok(Some(false))))
        };
        let offered = |path: &StorePath| !self.refused.contains(path) && self.caches(builder, path).next().is_some();
        !builder.caches.is_empty() && allowed() && outputs.iter().all(offered)
    }

    /// The caches that have an object, the preferred one first. One that does not answer has nothing, with a warning.
    fn caches<'a>(&self, builder: &'a Builder, path: &'a StorePath) -> impl Iterator<Item = &'a BinaryCache> {
        builder.caches.iter().map(|cache| &**cache).filter(move |cache| match cache.info(path) {
            Ok(info) => info.is_some(),
            Err(error) => {
                builder.progress.warn(&error.to_string());
                false
            }
        })
    }

    /// Takes objects with all that they refer to, several at a time. What cannot be taken is remembered, to be built.
    pub fn take(&mut self, builder: &Builder, paths: &BTreeSet<StorePath>) {
        let paths: Vec<&StorePath> = paths.iter().collect();
        let next = AtomicUsize::new(0);
        let refused = Mutex::new(Vec::new());
        let work = || {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !self.take_one(builder, path) {
                    refused.lock().unwrap_or_else(PoisonError::into_inner).push((*path).clone());
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..builder.options.jobs.get().min(paths.len()) {
                scope.spawn(work);
            }
        });
        self.refused.extend(refused.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    fn take_one(&self, builder: &Builder, path: &StorePath) -> bool {
        let progress: &dyn Progress = &*builder.progress;
        let store: &dyn Store = &*builder.store;
        self.caches(builder, path).any(|cache| match cache.take(path, store, progress) {
            Ok(_) => true,
            Err(error) => {
                progress.warn(&error.to_string());
                false
            }
        })
    }
}
