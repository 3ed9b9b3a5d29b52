//! The hash modulo fixed outputs, and the output paths that follow from it.
//!
//! A fixed-output input counts by its content alone, so that fetching it from another place does not change what
//! depends on it. See `libstore/derivation/modulo.cc` in C++ Nix.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::aterm::Form;
use super::{Derivation, Kind, KindError, Output, OutputName};
use crate::content_address::ContentAddressError;
use crate::hash::{Hash, HashAlgo};
use crate::store_path::{self, StorePath, StorePathError};

/// What a derivation counts as when it is the input of another. Cheap to clone, to be memoised by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashModulo {
    /// An input-addressed derivation: one hash for all its outputs.
    Known(Hash),
    /// A fixed-output derivation: a hash for each output.
    Fixed(Arc<BTreeMap<OutputName, Hash>>),
    /// An output's path is known only after a build, so what depends on it must wait too.
    Deferred,
}

/// Why there is no hash modulo.
#[derive(Debug, Error)]
pub enum HashModuloError<E> {
    /// The caller could not give an input's hash.
    #[error(transparent)]
    Input(E),
    /// The outputs do not go together.
    #[error(transparent)]
    Kind(KindError),
    /// An input derivation has no such output.
    #[error("derivation '{derivation}' has no output '{output}', which '{name}' needs")]
    NoSuchOutput {
        /// The input derivation.
        derivation: StorePath,
        /// The output it lacks.
        output: OutputName,
        /// The derivation that asks.
        name: String,
    },
    /// A content address gives no path.
    #[error("derivation '{name}': {source}")]
    BadAddress {
        /// The derivation's name.
        name: String,
        /// What is wrong.
        source: ContentAddressError,
    },
    /// An output's name is not fit for a store path.
    #[error("derivation '{name}': {source}")]
    BadName {
        /// The derivation's name.
        name: String,
        /// What is wrong.
        source: StorePathError,
    },
}

impl Derivation {
    /// What this derivation counts as when it is an input.
    ///
    /// `input` gives the same of each input derivation; memoise it by path, for the graph is a DAG with many shared
    /// nodes. It is not called for fixed-output derivations.
    pub fn hash_modulo<E>(
        &self,
        input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<HashModulo, HashModuloError<E>> {
        match self.kind().map_err(HashModuloError::Kind)? {
            Kind::Fixed => self.fixed_hashes(),
            Kind::Floating | Kind::Impure => Ok(HashModulo::Deferred),
            Kind::InputAddressed if self.outputs.values().any(|output| *output == Output::Deferred) => {
                Ok(HashModulo::Deferred)
            }
            Kind::InputAddressed => Ok(self.hash_text(input, false)?.map_or(HashModulo::Deferred, HashModulo::Known)),
        }
    }

    /// Computes the paths of the deferred outputs, and sets them in `outputs` and in the environment variable of the
    /// output's name.
    ///
    /// `input` is as for [`Derivation::hash_modulo`]. Returns `false`, with the outputs still deferred and their
    /// variables empty, if an input's path is known only after its build. Derivations of the other kinds are left
    /// alone.
    pub fn fill_output_paths<E>(
        &mut self,
        input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<bool, HashModuloError<E>> {
        if self.kind().map_err(HashModuloError::Kind)? != Kind::InputAddressed {
            return Ok(true);
        }
        // The variables count in the hash, so they must be there before it is computed.
        for name in self.outputs.keys() {
            self.env.insert(name.as_str().into(), Default::default());
        }
        let Some(hash) = self.hash_text(input, true)? else { return Ok(false) };
        for (name, output) in &mut self.outputs {
            let path = output_path(&self.name, name, &hash)
                .map_err(|source| HashModuloError::BadName { name: self.name.clone(), source })?;
            self.env.insert(name.as_str().into(), path.to_absolute().into());
            *output = Output::InputAddressed(path);
        }
        Ok(true)
    }

    fn fixed_hashes<E>(&self) -> Result<HashModulo, HashModuloError<E>> {
        let mut hashes = BTreeMap::new();
        for (name, output) in &self.outputs {
            let Output::Fixed(address) = output else { continue };
            let path = output.path(&self.name, name).map_err(|source| self.bad_address(source))?;
            let path = path.map_or(String::new(), |path| path.to_absolute());
            let text = format!("fixed:out:{}{}:{path}", address.method.prefix(), address.hash.to_prefixed_hex());
            hashes.insert(name.clone(), Hash::of(HashAlgo::Sha256, text.as_bytes()));
        }
        Ok(HashModulo::Fixed(Arc::new(hashes)))
    }

    /// The hash of the text with each input derivation replaced by its own; `None` if one is deferred.
    fn hash_text<E>(
        &self,
        mut input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
        mask_outputs: bool,
    ) -> Result<Option<Hash>, HashModuloError<E>> {
        // Inputs of equal hash merge their outputs, so this is a map and not a list.
        let mut inputs: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (path, outputs) in &self.input_derivations {
            match input(path).map_err(HashModuloError::Input)? {
                HashModulo::Deferred => return Ok(None),
                HashModulo::Known(hash) => {
                    inputs.entry(hash.to_hex()).or_default().extend(outputs.iter().map(String::as_str))
                }
                HashModulo::Fixed(hashes) => {
                    for output in outputs {
                        let hash = hashes.get(output).ok_or_else(|| HashModuloError::NoSuchOutput {
                            derivation: path.clone(),
                            output: output.clone(),
                            name: self.name.clone(),
                        })?;
                        inputs.entry(hash.to_hex()).or_default().insert("out");
                    }
                }
            }
        }
        let text =
            self.print(&Form { inputs: Some(&inputs), mask_outputs }).map_err(|source| self.bad_address(source))?;
        Ok(Some(Hash::of(HashAlgo::Sha256, &text)))
    }

    fn bad_address<E>(&self, source: ContentAddressError) -> HashModuloError<E> {
        HashModuloError::BadAddress { name: self.name.clone(), source }
    }
}

/// The path of an input-addressed output, from the derivation's masked hash modulo.
fn output_path(derivation_name: &str, output: &str, hash: &Hash) -> Result<StorePath, StorePathError> {
    let name = store_path::output_path_name(derivation_name, output);
    StorePath::make(&format!("output:{output}"), hash, &name)
}
