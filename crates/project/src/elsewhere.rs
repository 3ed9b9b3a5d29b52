//! Objects that do not lie where expressions look for them.
//!
//! In a daemon's store, what Wharf's own builders make lies at a path that follows from its content, and so does what
//! was built from it. An expression that reads such an output knows only the path that its derivation names. That name
//! stays: the program is the same, and gives the same, in every store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use nix_formats::store_path::StorePath;

/// Where objects really are, by the paths that expressions know.
#[derive(Default)]
pub(crate) struct Elsewhere(RwLock<HashMap<StorePath, StorePath>>);

impl Elsewhere {
    /// Notes where an object is.
    pub(crate) fn note(&self, expected: &StorePath, path: &StorePath) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(expected.clone(), path.clone());
    }

    /// Where an object is that is not at its own path.
    pub(crate) fn find(&self, expected: &StorePath) -> Option<StorePath> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(expected).cloned()
    }

    /// Where an object is.
    pub(crate) fn path_of(&self, expected: &StorePath) -> StorePath {
        self.find(expected).unwrap_or_else(|| expected.clone())
    }
}
