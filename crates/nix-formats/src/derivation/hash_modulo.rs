//! The hash modulo fixed outputs, and the output paths that follow from it.
//!
//! A fixed-output input counts by its content alone, so that fetching it from another place does not change what
//! depends on it. See `libstore/derivation/modulo.cc` in C++ Nix.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use thiserror::Error;

use super::aterm::print_hashed_inputs;
use super::{Derivation, Kind, KindError, Output, OutputName};
use crate::content_address::ContentAddressError;
use crate::hash::{Hash, HashAlgo, Hasher};
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

/// What stands for an input derivation in the text that is hashed, and one of its outputs.
pub(super) type HashedInput<'a> = (Hash, &'a str);

/// A derivation that was finished.
#[derive(Debug)]
pub struct Finished {
    /// The text of the `.drv` file.
    pub aterm: Vec<u8>,
    /// What it counts as when it is the input of another.
    pub modulo: HashModulo,
    /// The outputs' paths, as far as they are known before the build, in the order of their names.
    pub paths: Vec<Option<StorePath>>,
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
            Kind::Fixed => self.fixed_hashes(|name, output| output.path(&self.name, name)),
            Kind::Floating | Kind::Impure => Ok(HashModulo::Deferred),
            Kind::InputAddressed if self.outputs.values().any(|output| *output == Output::Deferred) => {
                Ok(HashModulo::Deferred)
            }
            Kind::InputAddressed => {
                let Some(inputs) = self.input_hashes(input)? else { return Ok(HashModulo::Deferred) };
                let (mut hashed_inputs, mut rest) = (Vec::new(), Vec::with_capacity(self.estimated_size()));
                print_hashed_inputs(&mut hashed_inputs, inputs);
                self.print_rest(&mut rest, false);
                self.hash_parts(false, &hashed_inputs, &rest).map(HashModulo::Known)
            }
        }
    }

    /// The hashes by which realisations name the outputs. They are known of derivations too whose paths only building
    /// tells, for they follow from what is built and not from what came of it.
    ///
    /// `input` gives the same of each input derivation, not `masked`; memoise it by path. The derivation itself is hashed
    /// with its own paths masked.
    ///
    /// # Errors
    /// Those of `input`; the outputs do not go together; an input has no such output.
    pub fn trace_hashes<E>(
        &self,
        masked: bool,
        mut input: impl FnMut(&StorePath) -> Result<Arc<BTreeMap<OutputName, Hash>>, E>,
    ) -> Result<BTreeMap<OutputName, Hash>, HashModuloError<E>> {
        if self.kind().map_err(HashModuloError::Kind)? == Kind::Fixed {
            return match self.fixed_hashes(|name, output| output.path(&self.name, name))? {
                HashModulo::Fixed(hashes) => Ok((*hashes).clone()),
                HashModulo::Known(_) | HashModulo::Deferred => Ok(BTreeMap::new()),
            };
        }
        let mut inputs = Vec::with_capacity(self.input_derivations.len());
        for (path, outputs) in &self.input_derivations {
            let hashes = input(path).map_err(HashModuloError::Input)?;
            for output in outputs {
                let hash = hashes.get(output).ok_or_else(|| self.no_such_output(path, output))?;
                inputs.push((*hash, output.as_str()));
            }
        }
        let (mut hashed_inputs, mut rest) = (Vec::new(), Vec::with_capacity(self.estimated_size()));
        print_hashed_inputs(&mut hashed_inputs, inputs);
        self.print_rest(&mut rest, masked);
        let hash = self.hash_parts(masked, &hashed_inputs, &rest)?;
        Ok(self.outputs.keys().map(|name| (name.clone(), hash)).collect())
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
        Ok(self.finish_input_addressed(input)?.modulo != HashModulo::Deferred)
    }

    /// Finishes a derivation: computes the paths of deferred outputs, as [`Derivation::fill_output_paths`] does, and gives
    /// the text and what the derivation counts as when it is an input. The three texts that this takes differ in little, so
    /// most of them is printed once.
    ///
    /// # Errors
    /// Those of `input`; the outputs do not go together, or give no paths.
    pub fn finish<E>(
        &mut self,
        input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<Finished, HashModuloError<E>> {
        match self.kind().map_err(HashModuloError::Kind)? {
            Kind::InputAddressed => self.finish_input_addressed(input),
            Kind::Fixed => self.finish_fixed(),
            Kind::Floating | Kind::Impure => self.finish_deferred(),
        }
    }

    /// Finishes a derivation whose outputs' paths only building tells.
    fn finish_deferred<E>(&self) -> Result<Finished, HashModuloError<E>> {
        let aterm = self.to_aterm().map_err(|source| self.bad_address(source))?;
        Ok(Finished { aterm, modulo: HashModulo::Deferred, paths: vec![None; self.outputs.len()] })
    }

    /// Finishes a derivation that has the one fixed output `out`.
    fn finish_fixed<E>(&mut self) -> Result<Finished, HashModuloError<E>> {
        let out = self.outputs.first_key_value().map(|(name, output)| output.path(&self.name, name));
        let path = out.transpose().map_err(|source| self.bad_address(source))?.flatten();
        let text = path.as_ref().map_or_else(String::new, StorePath::to_absolute);
        self.env.insert("out".into(), text.into());
        let mut aterm = Vec::with_capacity(self.estimated_size());
        let Ok(()) = self.print_outputs::<Infallible>(&mut aterm, |_, _| Ok(path.clone()));
        self.print_inputs(&mut aterm);
        self.print_rest(&mut aterm, false);
        let modulo = self.fixed_hashes(|_, _| Ok(path.clone()))?;
        Ok(Finished { aterm, modulo, paths: vec![path] })
    }

    fn finish_input_addressed<E>(
        &mut self,
        input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<Finished, HashModuloError<E>> {
        // The variables count in the hash, so they must be there before it is computed.
        for name in self.outputs.keys() {
            self.env.insert(name.as_str().into(), Default::default());
        }
        let mut hashed_inputs = Vec::new();
        match self.input_hashes(input)? {
            Some(inputs) => print_hashed_inputs(&mut hashed_inputs, inputs),
            None => return self.finish_deferred(),
        }
        let mut masked = Vec::with_capacity(self.estimated_size());
        let holes = self.print_rest(&mut masked, true);
        let hash = self.hash_parts(true, &hashed_inputs, &masked)?;
        let mut rest = Vec::with_capacity(masked.len() + holes.len() * 128);
        let (mut done, mut paths) = (0, Vec::with_capacity(holes.len()));
        for ((name, output), hole) in self.outputs.iter_mut().zip(holes) {
            let path = output_path(&self.name, name, &hash)
                .map_err(|source| HashModuloError::BadName { name: self.name.clone(), source })?;
            let text = path.to_absolute();
            rest.extend_from_slice(&masked[done..hole]);
            rest.extend_from_slice(text.as_bytes());
            done = hole;
            self.env.insert(name.as_str().into(), text.into());
            paths.push(Some(path.clone()));
            *output = Output::InputAddressed(path);
        }
        rest.extend_from_slice(&masked[done..]);
        let modulo = HashModulo::Known(self.hash_parts(false, &hashed_inputs, &rest)?);
        let mut aterm = Vec::with_capacity(rest.len() + 256 + self.input_derivations.len() * 128);
        let path = |name: &str, output: &Output| output.path(&self.name, name);
        self.print_outputs(&mut aterm, path).map_err(|source| self.bad_address(source))?;
        self.print_inputs(&mut aterm);
        aterm.extend_from_slice(&rest);
        Ok(Finished { aterm, modulo, paths })
    }

    /// The hash of a text, of which the first part is printed here.
    fn hash_parts<E>(&self, masked: bool, inputs: &[u8], rest: &[u8]) -> Result<Hash, HashModuloError<E>> {
        let mut first = Vec::with_capacity(self.outputs.len() * 128);
        let path = |name: &str, output: &Output| if masked { Ok(None) } else { output.path(&self.name, name) };
        self.print_outputs(&mut first, path).map_err(|source| self.bad_address(source))?;
        let mut hasher = Hasher::new(HashAlgo::Sha256);
        [&first[..], inputs, rest].into_iter().for_each(|part| hasher.update(part));
        Ok(hasher.finish())
    }

    fn fixed_hashes<E>(
        &self,
        mut path: impl FnMut(&str, &Output) -> Result<Option<StorePath>, ContentAddressError>,
    ) -> Result<HashModulo, HashModuloError<E>> {
        let mut hashes = BTreeMap::new();
        for (name, output) in &self.outputs {
            let Output::Fixed(address) = output else { continue };
            let path = path(name, output).map_err(|source| self.bad_address(source))?;
            let path = path.map_or(String::new(), |path| path.to_absolute());
            let text = format!("fixed:out:{}{}:{path}", address.method.prefix(), address.hash.to_prefixed_hex());
            hashes.insert(name.clone(), Hash::of(HashAlgo::Sha256, text.as_bytes()));
        }
        Ok(HashModulo::Fixed(Arc::new(hashes)))
    }

    /// What stands for the input derivations, with each of their outputs that is an input; `None` if one is deferred.
    fn input_hashes<E>(
        &self,
        mut input: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<Option<Vec<HashedInput<'_>>>, HashModuloError<E>> {
        let mut inputs = Vec::with_capacity(self.input_derivations.len() * 2);
        for (path, outputs) in &self.input_derivations {
            match input(path).map_err(HashModuloError::Input)? {
                HashModulo::Deferred => return Ok(None),
                HashModulo::Known(hash) => inputs.extend(outputs.iter().map(|output| (hash, output.as_str()))),
                HashModulo::Fixed(hashes) => {
                    for output in outputs {
                        let hash = hashes.get(output).ok_or_else(|| self.no_such_output(path, output))?;
                        inputs.push((*hash, "out"));
                    }
                }
            }
        }
        Ok(Some(inputs))
    }

    fn no_such_output<E>(&self, derivation: &StorePath, output: &str) -> HashModuloError<E> {
        let (derivation, output) = (derivation.clone(), output.to_owned());
        HashModuloError::NoSuchOutput { derivation, output, name: self.name.clone() }
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
