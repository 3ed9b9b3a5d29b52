//! Derivations: what a build needs and which outputs it makes.
//!
//! The text form is an ATerm ([`Derivation::parse`], [`Derivation::to_aterm`]); the paths of the outputs follow from
//! the hash modulo ([`Derivation::fill_output_paths`]), which does not change when a fixed-output input is fetched in
//! another way. Derivations whose inputs are outputs of dynamic derivations (`DrvWithVersion`) are refused by name.

mod aterm;
mod hash_modulo;
mod parse;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use thiserror::Error;

pub use hash_modulo::{Finished, HashModulo, HashModuloError};
pub use parse::ParseError;
pub use resolve::ResolvedInput;

use crate::content_address::{ContentAddress, ContentAddressError, Method};
use crate::hash::HashAlgo;
use crate::store_path::{self, StorePath, StorePathError};

/// The name of an output: `out`, `dev`, …
pub type OutputName = String;

/// The environment variable that holds the JSON of a derivation with `__structuredAttrs`.
pub const STRUCTURED_ATTRS_KEY: &str = "__json";

/// What is known of an output before it is built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// The path follows from the derivation's inputs.
    InputAddressed(StorePath),
    /// The content is known beforehand.
    Fixed(ContentAddress),
    /// The content decides the path, once it is built.
    Floating {
        /// How the content is hashed.
        method: Method,
        /// With which algorithm.
        algo: HashAlgo,
    },
    /// Input-addressed, but not computed yet, or dependent on an output whose path only building tells.
    Deferred,
    /// As floating, and built anew each time.
    Impure {
        /// How the content is hashed.
        method: Method,
        /// With which algorithm.
        algo: HashAlgo,
    },
}

/// The kind that all outputs of a derivation share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every output is input-addressed, or deferred.
    InputAddressed,
    /// The one output `out` is fixed; the builder may use the network.
    Fixed,
    /// Every output is content-addressed once built.
    Floating,
    /// Every output is impure.
    Impure,
}

/// A derivation whose outputs do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KindError {
    /// A derivation makes at least one output.
    #[error("derivation '{name}' has no outputs")]
    NoOutputs {
        /// The derivation's name.
        name: String,
    },
    /// Outputs of several kinds.
    #[error("derivation '{name}' mixes outputs of different kinds (input-addressed, fixed, content-addressed, impure)")]
    Mixed {
        /// The derivation's name.
        name: String,
    },
    /// A fixed output beside others, or one that is not called `out`.
    #[error("derivation '{name}' is fixed-output, so it must have the single output 'out'")]
    FixedMustBeOut {
        /// The derivation's name.
        name: String,
    },
}

/// A derivation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The name, without `.drv`. Not part of the ATerm: the file's name has it.
    pub name: String,
    /// The outputs by name.
    pub outputs: BTreeMap<OutputName, Output>,
    /// The derivations whose outputs are inputs, and which of their outputs.
    pub input_derivations: BTreeMap<StorePath, BTreeSet<OutputName>>,
    /// The store objects that are inputs as they are.
    pub input_sources: BTreeSet<StorePath>,
    /// Where it can be built, as `x86_64-linux`.
    pub system: String,
    /// The program: a path, or `builtin:…`.
    pub builder: BString,
    /// The program's arguments, without the zeroth.
    pub args: Vec<BString>,
    /// The environment; with structured attributes also the JSON, under [`STRUCTURED_ATTRS_KEY`].
    pub env: BTreeMap<BString, BString>,
}

impl Derivation {
    /// The kind of its outputs.
    pub fn kind(&self) -> Result<Kind, KindError> {
        let mut kinds = self.outputs.values().map(|output| match output {
            Output::InputAddressed(_) | Output::Deferred => Kind::InputAddressed,
            Output::Fixed(_) => Kind::Fixed,
            Output::Floating { .. } => Kind::Floating,
            Output::Impure { .. } => Kind::Impure,
        });
        let first = kinds.next().ok_or_else(|| KindError::NoOutputs { name: self.name.clone() })?;
        if kinds.any(|kind| kind != first) {
            return Err(KindError::Mixed { name: self.name.clone() });
        }
        if first == Kind::Fixed && (self.outputs.len() > 1 || !self.outputs.contains_key("out")) {
            return Err(KindError::FixedMustBeOut { name: self.name.clone() });
        }
        Ok(first)
    }

    /// Every store path that the `.drv` file refers to.
    pub fn references(&self) -> BTreeSet<StorePath> {
        self.input_derivations.keys().chain(&self.input_sources).cloned().collect()
    }

    /// The path of one output, if it is known before the build. An unknown output's name gives `None` too.
    pub fn output_path(&self, output: &str) -> Option<StorePath> {
        self.outputs.get(output)?.path(&self.name, output).ok().flatten()
    }

    /// The known paths of the outputs, in the order of their names.
    pub fn output_paths(&self) -> impl Iterator<Item = (&OutputName, Option<StorePath>)> {
        self.outputs.iter().map(|(name, output)| (name, output.path(&self.name, name).ok().flatten()))
    }

    /// The path of the `.drv` file with the text `aterm`, which is what [`Derivation::to_aterm`] gave.
    pub fn store_path(&self, aterm: &[u8]) -> Result<StorePath, StorePathError> {
        let name = format!("{}.drv", self.name);
        if self.input_derivations.is_empty() {
            return store_path::text_path(&name, aterm, &self.input_sources);
        }
        let mut references: Vec<&StorePath> = self.input_derivations.keys().chain(&self.input_sources).collect();
        references.sort_unstable();
        // A derivation that is needed with all its outputs is also a source.
        references.dedup();
        store_path::text_path(&name, aterm, references)
    }

    /// The JSON of a derivation with `__structuredAttrs`.
    pub fn structured_attrs(&self) -> Option<&BString> {
        self.env.get(STRUCTURED_ATTRS_KEY.as_bytes())
    }
}

impl Output {
    /// The output's path, if it is known before the build.
    pub fn path(&self, derivation_name: &str, output: &str) -> Result<Option<StorePath>, ContentAddressError> {
        match self {
            Self::InputAddressed(path) => Ok(Some(path.clone())),
            Self::Fixed(address) => {
                let name = store_path::output_path_name(derivation_name, output);
                address.store_path(&name, [], false).map(Some)
            }
            Self::Floating { .. } | Self::Deferred | Self::Impure { .. } => Ok(None),
        }
    }
}
