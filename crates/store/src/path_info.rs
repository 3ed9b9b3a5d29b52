//! What a store knows of an object.

use std::collections::BTreeSet;

use nix_formats::content_address::ContentAddress;
use nix_formats::hash::Hash;
use nix_formats::narinfo::NarInfo;
use nix_formats::signature::{self, PublicKey};
use nix_formats::store_path::StorePath;

/// What a store knows of a valid object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The object's path.
    pub path: StorePath,
    /// SHA-256 of the object's NAR.
    pub nar_hash: Hash,
    /// Length of the NAR in bytes; 0 if it is not known (objects of very old Nix).
    pub nar_size: u64,
    /// The objects that it refers to; itself too, if it does.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it, if one did.
    pub deriver: Option<StorePath>,
    /// When it was registered, in seconds since 1970; 0 before it is.
    pub registration_time: i64,
    /// Whether it was built here, and so is trusted without a signature.
    pub ultimate: bool,
    /// Signatures as `key:base64`.
    pub signatures: BTreeSet<String>,
    /// The claim that the path follows from the content.
    pub content_address: Option<ContentAddress>,
}

impl PathInfo {
    /// An object with a NAR hash and size, and nothing else yet.
    pub fn new(path: StorePath, nar_hash: Hash, nar_size: u64) -> Self {
        Self {
            path,
            nar_hash,
            nar_size,
            references: BTreeSet::new(),
            deriver: None,
            registration_time: 0,
            ultimate: false,
            signatures: BTreeSet::new(),
            content_address: None,
        }
    }

    /// What its signatures sign.
    pub fn fingerprint(&self) -> String {
        signature::fingerprint(&self.path, &self.nar_hash, self.nar_size, &self.references)
    }

    /// Has one of these keys signed it?
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let fingerprint = self.fingerprint();
        self.signatures.iter().any(|signature| keys.iter().any(|key| key.verify(fingerprint.as_bytes(), signature)))
    }
}

/// What a store is to know of an object that a binary cache has.
impl From<&NarInfo> for PathInfo {
    fn from(info: &NarInfo) -> Self {
        Self {
            references: info.references.clone(),
            deriver: info.deriver.clone(),
            signatures: info.signatures.clone(),
            content_address: info.content_address,
            ..Self::new(info.path.clone(), info.nar_hash, info.nar_size)
        }
    }
}
