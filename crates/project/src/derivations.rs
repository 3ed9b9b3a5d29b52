//! The derivations that an evaluation makes, kept until something needs them in the store.
//!
//! An evaluation makes many more derivations than are ever built, and writing one costs a synchronised file each.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use rustc_hash::FxHashMap;
use store::{Store, StoreError};

/// The texts of derivations by their paths. A text takes a fifth of the memory of what it says, and few are read again.
#[derive(Default)]
pub(crate) struct Derivations {
    pending: Mutex<FxHashMap<StorePath, Box<[u8]>>>,
    /// Something had to be built in an evaluation that had not written what it is built from.
    lacked_inputs: AtomicBool,
}

/// A step of writing a graph, inputs first.
enum Step {
    Enter(StorePath),
    /// What it refers to is in the store.
    Write(StorePath, Derivation),
}

impl Derivations {
    pub(crate) fn note(&self, path: &StorePath, aterm: Vec<u8>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.entry(path.clone()).or_insert_with(|| aterm.into_boxed_slice());
    }

    /// Takes note that a build lacks what it is made from, as the evaluation writes nothing.
    pub(crate) fn note_lacked_inputs(&self) {
        self.lacked_inputs.store(true, Ordering::Relaxed);
    }

    /// Whether a build failed for that reason since this was asked last.
    pub(crate) fn lacked_inputs(&self) -> bool {
        self.lacked_inputs.swap(false, Ordering::Relaxed)
    }

    /// Writes these derivations and all that they are made from, inputs first. What is neither known here nor in the
    /// store is given back: an evaluation has to make it again.
    pub(crate) fn write(&self, wanted: &[StorePath], store: &dyn Store) -> Result<Vec<StorePath>, StoreError> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut seen, mut unknown) = (HashSet::new(), Vec::new());
        let mut stack: Vec<Step> = wanted.iter().cloned().map(Step::Enter).collect();
        while let Some(step) = stack.pop() {
            let path = match step {
                Step::Enter(path) => path,
                Step::Write(path, derivation) => {
                    if let Some(aterm) = pending.remove(&path) {
                        store.add_text(path.name(), &aterm, &derivation.references())?;
                    }
                    continue;
                }
            };
            if !seen.insert(path.clone()) {
                continue;
            }
            // The root first, so that nobody collects it between the question and its use. What is valid has valid
            // inputs: there is nothing more to do below it.
            store.add_temp_root(&path)?;
            if store.is_valid(&path)? {
                continue;
            }
            let Some(aterm) = pending.get(&path) else {
                unknown.push(path);
                continue;
            };
            let derivation = Derivation::parse(path.derivation_name().unwrap_or_default(), aterm)?;
            // A derivation whose text alone is referred to is a source.
            let texts = derivation.input_sources.iter().filter(|source| pending.contains_key(*source));
            let inputs: Vec<_> = derivation.input_derivations.keys().chain(texts).cloned().map(Step::Enter).collect();
            stack.push(Step::Write(path, derivation));
            stack.extend(inputs);
        }
        Ok(unknown)
    }
}
