//! Realisations: which object an output is of which only building tells, as binary caches (`realisations/<id>.doi`) and
//! daemons say it, in JSON, signed like narinfos.
//!
//! Nix up to 2.8 and later lists with each the realisations that it depends on; newer versions leave that list empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::derivation::OutputName;
use crate::hash::Hash;
use crate::signature::{PublicKey, SecretKey};
use crate::store_path::{StorePath, StorePathError};

/// An output of a derivation, by what the derivation does and not by its path: `sha256:<hex>!<output>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputId {
    /// The derivation's hash, as [`crate::derivation::Derivation::trace_hashes`] gives it.
    pub hash: Hash,
    /// The output.
    pub output: OutputName,
}

/// Which object an output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realisation {
    /// The output.
    pub id: OutputId,
    /// The object.
    pub path: StorePath,
    /// Who says so, as `name:base64`.
    pub signatures: BTreeSet<String>,
    /// What it depends on: outputs, as they are named, and their objects.
    pub dependent: BTreeMap<String, StorePath>,
}

/// Why a text is no realisation.
#[derive(Debug, Error)]
pub enum RealisationError {
    /// It is no JSON, or lacks a member.
    #[error("it is no realisation: {0}")]
    Json(#[from] serde_json::Error),
    /// What it names as an output is none.
    #[error("'{0}' names no output of a derivation")]
    BadId(String),
    /// What it names as an object is none.
    #[error(transparent)]
    BadPath(#[from] StorePathError),
}

/// The members in their order; signed is the text without signatures.
#[derive(Serialize, Deserialize)]
struct Members {
    #[serde(rename = "dependentRealisations", default)]
    dependent: BTreeMap<String, String>,
    id: String,
    #[serde(rename = "outPath")]
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signatures: Option<BTreeSet<String>>,
}

impl OutputId {
    /// Parses what [`OutputId`] prints.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, RealisationError> {
        let bad = || RealisationError::BadId(text.to_owned());
        let (hash, output) = text.split_once('!').ok_or_else(bad)?;
        let hash = Hash::parse(hash, None).map_err(|_| bad())?;
        // It becomes part of the name of a file.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
        if output.is_empty() || !output.chars().all(is_name) {
            return Err(bad());
        }
        Ok(Self { hash, output: output.to_owned() })
    }

    /// The name of the file in a binary cache.
    pub fn file_name(&self) -> String {
        format!("realisations/{self}.doi")
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.hash.to_prefixed_hex(), self.output)
    }
}

impl Realisation {
    /// A realisation that nobody has signed.
    pub fn new(id: OutputId, path: StorePath) -> Self {
        Self { id, path, signatures: BTreeSet::new(), dependent: BTreeMap::new() }
    }

    /// Parses the JSON.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(text: &str) -> Result<Self, RealisationError> {
        let members: Members = serde_json::from_str(text)?;
        let object = |name: String| StorePath::from_base_name(name);
        let dependent = members.dependent.into_iter().map(|(id, name)| Ok((id, object(name)?)));
        Ok(Self {
            id: OutputId::parse(&members.id)?,
            path: object(members.path)?,
            signatures: members.signatures.unwrap_or_default(),
            dependent: dependent.collect::<Result<_, StorePathError>>()?,
        })
    }

    /// What is signed of it.
    pub fn fingerprint(&self) -> String {
        self.print(None)
    }

    /// Adds a signature.
    pub fn sign(&mut self, key: &SecretKey) {
        let signature = key.sign(self.fingerprint().as_bytes());
        self.signatures.insert(signature);
    }

    /// Has one of these keys signed it?
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let fingerprint = self.fingerprint();
        self.signatures.iter().any(|signature| keys.iter().any(|key| key.verify(fingerprint.as_bytes(), signature)))
    }

    fn print(&self, signatures: Option<BTreeSet<String>>) -> String {
        let dependent = self.dependent.iter().map(|(id, path)| (id.clone(), path.base_name().to_owned()));
        let members = Members {
            dependent: dependent.collect(),
            id: self.id.to_string(),
            path: self.path.base_name().to_owned(),
            signatures,
        };
        serde_json::to_string(&members).expect("maps of strings are JSON")
    }
}

/// Prints the JSON.
impl fmt::Display for Realisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(Some(self.signatures.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Nix 2.8 into a binary cache.
    const SAMPLE: &str = r#"{"dependentRealisations":{},"id":"sha256:15e3c560894cbb27085cf65b5a2ecb18488c999497f4531b6907a7581ce6d527!out","outPath":"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo","signatures":["a-1:c2ln"]}"#;

    #[test]
    fn it_is_printed_as_it_was_read() {
        let parsed = Realisation::parse(SAMPLE).unwrap();
        assert_eq!(parsed.to_string(), SAMPLE);
        assert_eq!(parsed.path.name(), "foo");
        assert!(parsed.id.file_name().ends_with("d527!out.doi"));
        let without = SAMPLE.replace(r#","signatures":["a-1:c2ln"]"#, "");
        assert_eq!(parsed.fingerprint(), without);
        assert_eq!(Realisation::parse(&without).unwrap().signatures.len(), 0);
        let newer = SAMPLE.replace(r#""dependentRealisations":{},"#, "");
        assert_eq!(Realisation::parse(&newer).unwrap(), parsed);
    }

    #[test]
    fn signatures_are_of_all_that_is_said() {
        let secret = SecretKey::from_seed("k-1", &[7; 32]);
        let mut one = Realisation::parse(SAMPLE).unwrap();
        assert!(!one.is_signed_by(&[secret.public_key()]));
        one.sign(&secret);
        assert!(one.is_signed_by(&[secret.public_key()]));
        one.id.output = "dev".to_owned();
        assert!(!one.is_signed_by(&[secret.public_key()]));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for (from, to) in [
            ("!out", "/out"),
            ("!out", "!../x"),
            ("!out", "!"),
            ("sha256:15", "sha256:zz"),
            ("g1w7", "/nix/store/g1w7"),
            ("outPath", "path"),
            ("{}", "{\"x\":\"y\"}"),
            ("}", ""),
        ] {
            assert!(Realisation::parse(&SAMPLE.replace(from, to)).is_err(), "{to}");
        }
    }
}
