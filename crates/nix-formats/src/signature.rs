//! Ed25519 signatures of store objects, and their keys as `name:base64`.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature as RawSignature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::hash::Hash;
use crate::store_path::StorePath;

/// Why a text is no key or signature. The text of a secret key is never in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not of the form `name:base64`.
    #[error("{what} is malformed: expected a name, a colon and base 64")]
    Malformed {
        /// `signature`, `public key 'name'`, …
        what: String,
    },
    /// The bytes are too many, too few, or no point of the curve.
    #[error("{what} is not valid: expected {expected} bytes of ed25519")]
    Invalid {
        /// `signature`, `public key 'name'`, …
        what: String,
        /// How many bytes it has.
        expected: usize,
    },
}

/// What is signed of an object: its path, NAR hash, NAR size and references.
pub fn fingerprint(path: &StorePath, nar_hash: &Hash, nar_size: u64, references: &BTreeSet<StorePath>) -> String {
    let references: Vec<String> = references.iter().map(StorePath::to_absolute).collect();
    format!("1;{path};{};{nar_size};{}", nar_hash.to_prefixed_nix32(), references.join(","))
}

/// A key that signatures are checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Parses `cache.example.org-1:base64` as in Nix's `trusted-public-keys`.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let (name, bytes) = split(text, "public key")?;
        let invalid = || SignatureError::Invalid { what: format!("public key '{name}'"), expected: 32 };
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| invalid())?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| invalid())?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// The key's name, which the signatures by it bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is `signature` (`name:base64`) one of `data` by this key? `false` for one that is malformed or of another name.
    pub fn verify(&self, data: &[u8], signature: &str) -> bool {
        let Ok((name, bytes)) = split(signature, "signature") else { return false };
        let Ok(raw) = RawSignature::from_slice(&bytes) else { return false };
        name == self.name && self.key.verify_strict(data, &raw).is_ok()
    }
}

/// Prints `name:base64`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A key that signs. It has no `Debug` and no `Display`, so that it is not printed by mistake.
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// Parses a secret key as `nix key generate-secret` prints it.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let (name, bytes) = split(text.trim(), "secret key")?;
        let invalid = || SignatureError::Invalid { what: format!("secret key '{name}'"), expected: 64 };
        let bytes: [u8; 64] = bytes.as_slice().try_into().map_err(|_| invalid())?;
        let key = SigningKey::from_keypair_bytes(&bytes).map_err(|_| invalid())?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// The key of a seed, which must come from a source of secure random numbers.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) }
    }

    /// The text that [`SecretKey::parse`] reads; a secret.
    pub fn expose(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.key.to_keypair_bytes()))
    }

    /// The key to check its signatures against.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The signature of `data`, as `name:base64`.
    pub fn sign(&self, data: &[u8]) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.key.sign(data).to_bytes()))
    }
}

fn split<'a>(text: &'a str, what: &str) -> Result<(&'a str, Vec<u8>), SignatureError> {
    let malformed = || SignatureError::Malformed { what: what.to_owned() };
    let (name, data) = text.split_once(':').ok_or_else(malformed)?;
    let bytes = BASE64.decode(data).map_err(|_| malformed())?;
    if name.is_empty() || bytes.is_empty() {
        return Err(malformed());
    }
    Ok((name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_verifies() {
        let secret = SecretKey::from_seed("test-1", &[7; 32]);
        let public = PublicKey::parse(&secret.public_key().to_string()).unwrap();
        let again = SecretKey::parse(&secret.expose()).unwrap();
        let signature = again.sign(b"data");
        assert!(public.verify(b"data", &signature));
        assert!(!public.verify(b"other", &signature));
        assert!(!public.verify(b"data", &signature.replace("test-1", "test-2")));
        assert!(!public.verify(b"data", "test-1:AAAA"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        for text in ["", "name", "name:", ":AAAA", "name:!!", "name:AAAA"] {
            assert!(PublicKey::parse(text).is_err(), "{text}");
            assert!(SecretKey::parse(text).is_err(), "{text}");
        }
    }
}
