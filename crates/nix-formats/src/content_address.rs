//! Content addresses: the claim that a store path follows from what the object holds.
//!
//! Spelled `text:sha256:<nix32>` or `fixed:[r:|git:]<algo>:<nix32>` in narinfo files and in the store's database.

use std::fmt;

use thiserror::Error;

use crate::hash::{Hash, HashAlgo, HashError};
use crate::store_path::{self, StorePath, StorePathError};

/// What of an object is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The bytes of one regular file, with references taken from elsewhere (`builtins.toFile`).
    Text,
    /// The bytes of one regular file.
    Flat,
    /// The object as a NAR.
    Nar,
    /// The object as a git blob or tree.
    Git,
}

impl Method {
    /// The prefix before the algorithm in derivations: `""`, `"r:"`, `"text:"`, `"git:"`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Text => "text:",
            Self::Flat => "",
            Self::Nar => "r:",
            Self::Git => "git:",
        }
    }

    /// Takes the prefix off `text`.
    pub fn split_prefix(text: &str) -> (Self, &str) {
        for method in [Self::Text, Self::Nar, Self::Git] {
            if let Some(rest) = text.strip_prefix(method.prefix()) {
                return (method, rest);
            }
        }
        (Self::Flat, text)
    }

    /// The method of a derivation's `outputHashMode`.
    pub fn parse_output_hash_mode(mode: &str) -> Option<Self> {
        match mode {
            "flat" => Some(Self::Flat),
            "recursive" | "nar" => Some(Self::Nar),
            "text" => Some(Self::Text),
            "git" => Some(Self::Git),
            _ => None,
        }
    }
}

/// Why a text is no content address, or a content address gives no path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContentAddressError {
    /// Neither `text:` nor `fixed:`.
    #[error("'{text}' is not a content address: it starts with neither 'text:' nor 'fixed:'")]
    UnknownKind {
        /// The text as given.
        text: String,
    },
    /// The hash in it is malformed.
    #[error("'{text}' is not a content address: {source}")]
    BadHash {
        /// The text as given.
        text: String,
        /// What is wrong with the hash.
        source: HashError,
    },
    /// The method does not go with the algorithm.
    #[error("content address '{text}' cannot be: {reason}")]
    BadAlgorithm {
        /// The content address.
        text: String,
        /// Which algorithm the method takes.
        reason: &'static str,
    },
    /// References where the method allows none.
    #[error("'{name}' cannot be a fixed output with references: only a sha256 of a NAR can have them")]
    UnexpectedReferences {
        /// The object's name.
        name: String,
    },
    /// The name is not fit for a store path.
    #[error(transparent)]
    BadName(#[from] StorePathError),
}

/// A content address: a method and the hash that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentAddress {
    /// What was hashed.
    pub method: Method,
    /// The hash.
    pub hash: Hash,
}

impl ContentAddress {
    /// Parses `text:sha256:…` or `fixed:…`.
    pub fn parse(text: &str) -> Result<Self, ContentAddressError> {
        let (method, hash) = if let Some(hash) = text.strip_prefix("text:") {
            (Method::Text, hash)
        } else if let Some(rest) = text.strip_prefix("fixed:") {
            Method::split_prefix(rest)
        } else {
            return Err(ContentAddressError::UnknownKind { text: text.to_owned() });
        };
        let hash =
            Hash::parse(hash, None).map_err(|source| ContentAddressError::BadHash { text: text.to_owned(), source })?;
        let address = Self { method, hash };
        address.check()?;
        Ok(address)
    }

    fn check(&self) -> Result<(), ContentAddressError> {
        let reason = match (self.method, self.hash.algo()) {
            (Method::Text, HashAlgo::Sha256) | (Method::Flat | Method::Nar, _) => return Ok(()),
            (Method::Git, HashAlgo::Sha1 | HashAlgo::Sha256) => return Ok(()),
            (Method::Text, _) => "a text object is hashed by sha256",
            (Method::Git, _) => "git hashes by sha1 or sha256",
        };
        Err(ContentAddressError::BadAlgorithm { text: self.to_string(), reason })
    }

    /// The store path of an object of this address and name, with its references (sorted, without itself).
    pub fn store_path<'a>(
        &self,
        name: &str,
        references: impl IntoIterator<Item = &'a StorePath>,
        refers_to_itself: bool,
    ) -> Result<StorePath, ContentAddressError> {
        self.check()?;
        let mut references = references.into_iter().peekable();
        match (self.method, self.hash.algo()) {
            (Method::Text, _) if refers_to_itself => {
                Err(ContentAddressError::UnexpectedReferences { name: name.to_owned() })
            }
            (Method::Text, _) => Ok(store_path::text_path_from_hash(name, &self.hash, references)?),
            (Method::Nar, HashAlgo::Sha256) => {
                Ok(store_path::source_path(name, &self.hash, references, refers_to_itself)?)
            }
            _ if refers_to_itself || references.peek().is_some() => {
                Err(ContentAddressError::UnexpectedReferences { name: name.to_owned() })
            }
            (method, _) => Ok(store_path::fixed_path(name, method.prefix(), &self.hash)?),
        }
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.method != Method::Text {
            f.write_str("fixed:")?;
        }
        write!(f, "{}{}", self.method.prefix(), self.hash.to_prefixed_nix32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let hash = Hash::of(HashAlgo::Sha256, b"x");
        for method in [Method::Text, Method::Flat, Method::Nar, Method::Git] {
            let address = ContentAddress { method, hash };
            assert_eq!(ContentAddress::parse(&address.to_string()), Ok(address));
        }
    }

    #[test]
    fn wrong_pairs_are_refused() {
        let md5 = Hash::of(HashAlgo::Md5, b"x").to_prefixed_nix32();
        assert!(ContentAddress::parse(&format!("text:{md5}")).is_err());
        assert!(ContentAddress::parse(&format!("fixed:git:{md5}")).is_err());
        assert!(ContentAddress::parse(&format!("fixed:{md5}")).is_ok());
        assert!(ContentAddress::parse("sha256:abc").is_err());
    }
}
