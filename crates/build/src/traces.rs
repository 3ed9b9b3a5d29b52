//! The hashes by which realisations name the outputs of derivations, each computed once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix_formats::derivation::{Derivation, OutputName};
use nix_formats::hash::Hash;
use nix_formats::realisation::OutputId;
use nix_formats::store_path::StorePath;
use store::Store;

use crate::error::BuildError;

type Hashes = Arc<BTreeMap<OutputName, Hash>>;

/// The hashes that are known.
#[derive(Default)]
pub(crate) struct Traces(Mutex<HashMap<StorePath, Hashes>>);

impl Traces {
    /// How the outputs of a derivation are named. All derivations behind it must be in the store.
    pub fn ids(
        &self,
        store: &dyn Store,
        path: &StorePath,
        derivation: &Derivation,
    ) -> Result<BTreeMap<OutputName, OutputId>, BuildError> {
        self.fill(store, derivation)?;
        let hashes = derivation.trace_hashes(true, self.input());
        let hashes = hashes.map_err(|error| unusable(path, &error))?;
        Ok(hashes.into_iter().map(|(output, hash)| (output.clone(), OutputId { hash, output })).collect())
    }

    /// Computes what the inputs count as. A stack of its own, for graphs are deep.
    fn fill(&self, store: &dyn Store, derivation: &Derivation) -> Result<(), BuildError> {
        let mut stack: Vec<(StorePath, Option<Derivation>)> =
            derivation.input_derivations.keys().map(|path| (path.clone(), None)).collect();
        while let Some((path, read)) = stack.pop() {
            if self.known().contains_key(&path) {
                continue;
            }
            let Some(derivation) = read else {
                let derivation = store.read_derivation(&path)?;
                let inputs: Vec<_> = derivation.input_derivations.keys().cloned().collect();
                stack.push((path, Some(derivation)));
                stack.extend(inputs.into_iter().map(|path| (path, None)));
                continue;
            };
            let hashes = derivation.trace_hashes(false, self.input());
            let hashes = hashes.map_err(|error| unusable(&path, &error))?;
            self.known().insert(path, Arc::new(hashes));
        }
        Ok(())
    }

    fn input(&self) -> impl FnMut(&StorePath) -> Result<Hashes, BuildError> {
        // Only one that needs itself is not known yet, which hashes make impossible.
        |path| self.known().get(path).cloned().ok_or_else(|| unusable(path, &"it depends on its own output"))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<StorePath, Hashes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(derivation: &StorePath, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Derivation { derivation: derivation.clone(), problem: error.to_string() }
}
