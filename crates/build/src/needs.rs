//! What a derivation needs of the machine that builds it.

use std::collections::BTreeSet;

use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;

use crate::attributes::Attributes;
use crate::error::BuildError;
use crate::options::Options;

/// What a derivation needs of the machine that builds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    pub system: String,
    pub features: BTreeSet<String>,
    /// Whether the builder is part of this program.
    pub builtin: bool,
    /// Whether sending it elsewhere costs more than building it.
    pub prefers_local: bool,
}

impl Needs {
    /// What a derivation says. Attributes that make no sense are complained of by whoever builds it.
    pub fn of(derivation: &Derivation) -> Needs {
        let attributes = Attributes::of(derivation).ok();
        let features = attributes.as_ref().and_then(|all| all.strings("requiredSystemFeatures").ok().flatten());
        let prefers_local = attributes.as_ref().and_then(|all| all.boolean("preferLocalBuild").ok().flatten());
        Needs {
            system: derivation.system.clone(),
            features: features.unwrap_or_default().into_iter().collect(),
            builtin: derivation.builder.starts_with(b"builtin:"),
            prefers_local: prefers_local.unwrap_or(false),
        }
    }

    /// Whether this machine has it.
    pub fn check_here(&self, derivation: &StorePath, options: &Options) -> Result<(), BuildError> {
        let wrong = |needed: String, available: String| BuildError::Machine {
            derivation: derivation.clone(),
            needed,
            available,
        };
        if self.system != "builtin" && !self.builtin && !options.systems.contains(&self.system) {
            return Err(wrong(format!("a '{}' machine", self.system), listed("a", &options.systems)));
        }
        let lacking: BTreeSet<String> = self.features.difference(&options.features).cloned().collect();
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(wrong(listed("the features", &lacking), listed("one with the features", &options.features))),
        }
    }
}

fn listed(before: &str, words: &BTreeSet<String>) -> String {
    format!("{before} {}", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "))
}
