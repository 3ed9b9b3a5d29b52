//! The derivations that an evaluation makes, kept until something needs them in the store.
//!
//! An evaluation makes many more derivations than are ever built, and writing one costs a synchronised file each.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use store::{Store, StoreError};

/// Derivations by the path of their text.
#[derive(Default)]
pub(crate) struct Derivations {
    pending: Mutex<HashMap<StorePath, Derivation>>,
}

impl Derivations {
    pub(crate) fn note(&self, path: &StorePath, derivation: &Derivation) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.entry(path.clone()).or_insert_with(|| derivation.clone());
    }

    /// Writes these derivations and all that they are made from, inputs first. What is neither known here nor in the
    /// store is given back: an evaluation has to make it again.
    pub(crate) fn write(&self, wanted: &[StorePath], store: &dyn Store) -> Result<Vec<StorePath>, StoreError> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut seen, mut unknown) = (HashSet::new(), Vec::new());
        let mut stack: Vec<(StorePath, bool)> = wanted.iter().map(|path| (path.clone(), false)).collect();
        while let Some((path, inputs_written)) = stack.pop() {
            if inputs_written {
                if let Some(derivation) = pending.remove(&path) {
                    store.add_derivation(&derivation)?;
                }
                continue;
            }
            if !seen.insert(path.clone()) {
                continue;
            }
            // The root first, so that nobody collects it between the question and its use. What is valid has valid
            // inputs: there is nothing more to do below it.
            store.add_temp_root(&path)?;
            if store.is_valid(&path)? {
                continue;
            }
            if !pending.contains_key(&path) {
                unknown.push(path);
                continue;
            }
            let derivation = &pending[&path];
            // A derivation whose text alone is referred to is a source.
            let texts = derivation.input_sources.iter().filter(|source| pending.contains_key(*source));
            let inputs: Vec<_> = derivation.input_derivations.keys().chain(texts).cloned().collect();
            stack.push((path, true));
            stack.extend(inputs.into_iter().map(|input| (input, false)));
        }
        Ok(unknown)
    }
}
