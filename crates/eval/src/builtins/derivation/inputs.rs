//! What derivations refer to, and what is known of those already made.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nix_formats::derivation::{Derivation, HashModulo};
use nix_formats::store_path::StorePath;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{self, ContextBuilder};
use crate::interp::{ContextElement, parse_store_path};
use crate::symbol::Symbol;

/// The derivations and texts of an evaluation.
#[derive(Default)]
pub(crate) struct Derivations {
    made: Mutex<FxHashMap<StorePath, Arc<Known>>>,
    /// The context elements that were met, decoded.
    inputs: Mutex<FxHashMap<Symbol, &'static Input>>,
    /// The references of files made by `builtins.toFile`.
    texts: Mutex<FxHashMap<StorePath, Vec<StorePath>>>,
}

/// What later derivations need to know of one.
pub(super) struct Known {
    hash: HashModulo,
    outputs: Vec<String>,
    references: Box<[StorePath]>,
}

/// An element of a context as derivations take it.
enum Input {
    Source(StorePath),
    Output(StorePath, String),
    Deep(StorePath),
}

impl Interp {
    /// Makes everything in a context an input of a derivation.
    pub(super) fn add_inputs(&self, derivation: &mut Derivation, context: &ContextBuilder) -> Result<()> {
        for symbol in context.elements() {
            match self.input(symbol)? {
                Input::Source(path) => {
                    derivation.input_sources.insert(path.clone());
                }
                Input::Output(path, output) => {
                    let outputs = derivation.input_derivations.entry(path.clone()).or_default();
                    if !outputs.contains(output) {
                        outputs.insert(output.clone());
                    }
                }
                Input::Deep(path) => self.add_deep(derivation, path.clone())?,
            }
        }
        Ok(())
    }

    fn input(&self, element: Symbol) -> Result<&'static Input> {
        if let Some(known) = self.shared().derivations.inputs.lock().get(&element) {
            return Ok(known);
        }
        let input = match ContextElement::parse(element.bytes()) {
            Some(ContextElement::Path(path)) => Input::Source(parse_store_path(&path)?),
            Some(ContextElement::Output { derivation, output }) => {
                Input::Output(parse_store_path(&derivation)?, output)
            }
            Some(ContextElement::Deep(path)) => Input::Deep(parse_store_path(&path)?),
            None => return Err(Error::other(format!("the context element '{element}' is malformed"))),
        };
        let input: &Input = heap::new(input);
        self.shared().derivations.inputs.lock().insert(element, input);
        Ok(input)
    }

    /// Makes a `.drv` file with everything that it refers to, and all outputs of the derivations among that, inputs.
    fn add_deep(&self, derivation: &mut Derivation, path: StorePath) -> Result<()> {
        let mut queue = vec![path];
        let mut seen = BTreeSet::new();
        while let Some(path) = queue.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            if path.is_derivation() {
                let known = self.known_derivation(&path)?;
                let outputs = known.outputs.iter().cloned();
                derivation.input_derivations.entry(path.clone()).or_default().extend(outputs);
                queue.extend(known.references.iter().cloned());
            } else if let Some(references) = self.shared().derivations.texts.lock().get(&path) {
                queue.extend(references.iter().cloned());
            }
            derivation.input_sources.insert(path);
        }
        Ok(())
    }

    /// Notes what a file made by `builtins.toFile` refers to.
    pub(in crate::builtins) fn remember_text(&self, path: &StorePath, references: Vec<StorePath>) {
        self.shared().derivations.texts.lock().insert(path.clone(), references);
    }

    /// Notes a derivation for those that depend on it.
    pub(super) fn remember_derivation(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        hash: HashModulo,
    ) -> Arc<Known> {
        let outputs = derivation.outputs.keys().cloned().collect();
        let references = derivation.input_derivations.keys().chain(&derivation.input_sources).cloned().collect();
        let known = Arc::new(Known { hash, outputs, references });
        self.shared().derivations.made.lock().insert(path.clone(), Arc::clone(&known));
        known
    }

    /// What a derivation counts as when it is an input.
    pub(super) fn hash_modulo(&self, path: &StorePath) -> Result<HashModulo> {
        Ok(self.known_derivation(path)?.hash.clone())
    }

    /// A derivation of this evaluation, or one that is in the store.
    fn known_derivation(&self, path: &StorePath) -> Result<Arc<Known>> {
        if let Some(known) = self.shared().derivations.made.lock().get(path) {
            return Ok(Arc::clone(known));
        }
        let absolute = path.to_absolute();
        let text = self.host().read_file(Path::new(&absolute))?;
        let name = path.derivation_name().unwrap_or_default();
        let derivation = Derivation::parse(name, &text)
            .map_err(|error| Error::other(format!("cannot read '{absolute}': {error}")))?;
        let hash = derivation.hash_modulo(|input| self.hash_modulo(input));
        Ok(self.remember_derivation(path, &derivation, hash.map_err(|error| Error::other(error.to_string()))?))
    }
}
