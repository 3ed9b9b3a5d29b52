//! Store paths: the names of store objects, and how they are computed from what the objects hold.
//!
//! The specification is `protocols/store-path.md` of the Nix manual.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::hash::{Hash, HashAlgo, Hasher};
use crate::{STORE_DIR, nix32};

/// Length of the hash part in characters.
pub const HASH_LEN: usize = 32;
/// Longest name, in bytes.
pub const MAX_NAME_LEN: usize = 211;

/// Why a text is no store path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StorePathError {
    /// An absolute path that is not directly below the store directory.
    #[error("path '{path}' is not in the Nix store")]
    NotInStore {
        /// The path as given.
        path: String,
    },
    /// A base name without a proper hash part.
    #[error("'{path}' is not a store path: it must start with 32 characters of Nix base 32 and a '-'")]
    BadHashPart {
        /// The base name as given.
        path: String,
    },
    /// The name is empty, too long, or starts as `.` or `..` would.
    #[error("name '{name}' is not valid in a store path: {reason}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A store path, kept as its base name `<hash>-<name>`; cheap to clone.
///
/// The order is that of the base names, which is the order in which Nix writes sets of paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(Arc<str>);

impl StorePath {
    /// Parses a base name such as `7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-konsole-18.12.3`.
    pub fn from_base_name(base_name: impl AsRef<[u8]>) -> Result<Self, StorePathError> {
        let bytes = base_name.as_ref();
        let text = match std::str::from_utf8(bytes) {
            Ok(text)
                if bytes.len() > HASH_LEN
                    && bytes[HASH_LEN] == b'-'
                    && bytes[..HASH_LEN].iter().all(|&byte| nix32::is_digit(byte)) =>
            {
                text
            }
            _ => return Err(StorePathError::BadHashPart { path: lossy(bytes) }),
        };
        check_name(&text[HASH_LEN + 1..])?;
        Ok(Self(text.into()))
    }

    /// Parses an absolute path that is exactly `/nix/store/<base name>`.
    pub fn from_absolute(path: impl AsRef<[u8]>) -> Result<Self, StorePathError> {
        let bytes = path.as_ref();
        match strip_store_dir(bytes) {
            Some(base_name) if !base_name.contains(&b'/') => Self::from_base_name(base_name),
            _ => Err(StorePathError::NotInStore { path: lossy(bytes) }),
        }
    }

    /// Splits an absolute path into the store path that it starts with and the rest below it (without a leading
    /// slash, empty for the object itself).
    pub fn split_absolute(path: &[u8]) -> Result<(Self, &[u8]), StorePathError> {
        let below = strip_store_dir(path).ok_or_else(|| StorePathError::NotInStore { path: lossy(path) })?;
        let end = below.iter().position(|&byte| byte == b'/').unwrap_or(below.len());
        let rest = &below[end..];
        let skip = rest.iter().take_while(|&&byte| byte == b'/').count();
        Ok((Self::from_base_name(&below[..end])?, &rest[skip..]))
    }

    /// The path of an object whose identity `fingerprint_type:algo:base16` gives.
    ///
    /// `kind` is `text…`, `source…` or `output:<id>`, `hash` the inner hash.
    pub(crate) fn make(kind: &str, hash: &Hash, name: &str) -> Result<Self, StorePathError> {
        check_name(name)?;
        let mut hasher = Sha256::new();
        for part in [kind, ":", hash.algo().name(), ":", hash.hex(&mut [0; 128]), ":", STORE_DIR, ":", name] {
            hasher.update(part);
        }
        let folded = fold(hasher.finalize().as_slice());
        let mut base_name = String::with_capacity(HASH_LEN + 1 + name.len());
        nix32::encode_into(&folded, &mut base_name);
        base_name.push('-');
        base_name.push_str(name);
        Ok(Self(base_name.into()))
    }

    /// A path with a given 20-byte hash part, for objects whose path means nothing yet (build scratch outputs).
    pub fn from_hash_part(hash: [u8; 20], name: &str) -> Result<Self, StorePathError> {
        check_name(name)?;
        Ok(Self(format!("{}-{name}", nix32::encode(&hash)).into()))
    }

    /// The base name, `<hash>-<name>`.
    pub fn base_name(&self) -> &str {
        &self.0
    }

    /// The 32 characters before the dash.
    pub fn hash_part(&self) -> &str {
        &self.0[..HASH_LEN]
    }

    /// The name, after the dash.
    pub fn name(&self) -> &str {
        &self.0[HASH_LEN + 1..]
    }

    /// `/nix/store/<hash>-<name>`.
    pub fn to_absolute(&self) -> String {
        format!("{STORE_DIR}/{}", self.0)
    }

    /// Does the name end in `.drv`?
    pub fn is_derivation(&self) -> bool {
        self.0.ends_with(".drv")
    }

    /// The derivation's name: this name without `.drv`.
    pub fn derivation_name(&self) -> Option<&str> {
        self.name().strip_suffix(".drv")
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({})", self.0)
    }
}

/// Prints the absolute path.
impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE_DIR}/{}", self.0)
    }
}

impl Borrow<str> for StorePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Serialised as the absolute path.
impl Serialize for StorePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Read from an absolute path or a base name.
impl<'de> Deserialize<'de> for StorePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = if text.starts_with('/') { Self::from_absolute(&text) } else { Self::from_base_name(&text) };
        parsed.map_err(serde::de::Error::custom)
    }
}

fn strip_store_dir(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(STORE_DIR.as_bytes())?.strip_prefix(b"/")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Folds a hash to 20 bytes by exclusive or, as store paths have it.
pub(crate) fn fold(hash: &[u8]) -> [u8; 20] {
    let mut folded = [0; 20];
    for (index, byte) in hash.iter().enumerate() {
        folded[index % 20] ^= byte;
    }
    folded
}

/// Checks a name against Nix's rules: 1 to 211 of `[0-9a-zA-Z+\-._?=]`, the first dash-separated part not `.` or `..`.
pub fn check_name(name: &str) -> Result<(), StorePathError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_LEN {
        "it is longer than 211 characters"
    } else if matches!(name.split('-').next(), Some("." | "..")) {
        "it starts with '.' or '..'"
    } else if !name.bytes().all(is_name_byte) {
        "only letters, digits and the characters + - . _ ? = are allowed"
    } else {
        return Ok(());
    };
    Err(StorePathError::BadName { name: name.to_owned(), reason })
}

/// May this byte stand in a store path's name?
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'?' | b'=')
}

/// The path of a derivation's output: `name` for `out`, else `name-<output>`.
pub fn output_path_name(derivation_name: &str, output: &str) -> String {
    if output == "out" { derivation_name.to_owned() } else { format!("{derivation_name}-{output}") }
}

/// The path of a text object (`builtins.toFile`, `.drv` files) with the references that it has, in sorted order.
pub fn text_path<'a>(
    name: &str,
    content: &[u8],
    references: impl IntoIterator<Item = &'a StorePath>,
) -> Result<StorePath, StorePathError> {
    text_path_from_hash(name, &Hash::of(HashAlgo::Sha256, content), references)
}

/// As [`text_path`], with the SHA-256 of the content already known.
pub fn text_path_from_hash<'a>(
    name: &str,
    hash: &Hash,
    references: impl IntoIterator<Item = &'a StorePath>,
) -> Result<StorePath, StorePathError> {
    StorePath::make(&kind_with_references("text", references, false), hash, name)
}

/// The path of a source tree: content-addressed by the SHA-256 of its NAR, with references in sorted order.
pub fn source_path<'a>(
    name: &str,
    nar_sha256: &Hash,
    references: impl IntoIterator<Item = &'a StorePath>,
    refers_to_itself: bool,
) -> Result<StorePath, StorePathError> {
    StorePath::make(&kind_with_references("source", references, refers_to_itself), nar_sha256, name)
}

/// The path of a fixed output without references that is not a SHA-256 of a NAR; `method_prefix` is `""`, `"r:"`
/// or `"git:"`.
pub(crate) fn fixed_path(name: &str, method_prefix: &str, hash: &Hash) -> Result<StorePath, StorePathError> {
    let mut hasher = Hasher::new(HashAlgo::Sha256);
    for part in ["fixed:out:", method_prefix, hash.algo().name(), ":", hash.hex(&mut [0; 128]), ":"] {
        hasher.update(part.as_bytes());
    }
    StorePath::make("output:out", &hasher.finish(), name)
}

fn kind_with_references<'a>(
    kind: &str,
    references: impl IntoIterator<Item = &'a StorePath>,
    refers_to_itself: bool,
) -> String {
    let mut text = kind.to_owned();
    for reference in references {
        text.push(':');
        text.push_str(STORE_DIR);
        text.push('/');
        text.push_str(reference.base_name());
    }
    if refers_to_itself {
        text.push_str(":self");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-konsole-18.12.3";

    #[test]
    fn parts() {
        let path = StorePath::from_absolute(format!("/nix/store/{BASE}")).unwrap();
        assert_eq!(path.hash_part(), "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz");
        assert_eq!(path.name(), "konsole-18.12.3");
        assert_eq!(path.to_string(), path.to_absolute());
    }

    #[test]
    fn paths_below_are_split() {
        let below = format!("/nix/store/{BASE}//bin/sh");
        let (path, rest) = StorePath::split_absolute(below.as_bytes()).unwrap();
        assert_eq!((path.base_name(), rest), (BASE, &b"bin/sh"[..]));
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in [
            "",
            "/nix/store",
            "/nix/store/",
            "/nix/storex/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-a",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-a/b",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxl-a",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxle-a",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-.",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-..-x",
            "/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-a b",
        ] {
            assert!(StorePath::from_absolute(bad).is_err(), "{bad}");
        }
        assert!(check_name(".hidden").is_ok());
        assert!(check_name(&"x".repeat(211)).is_ok());
        assert!(check_name(&"x".repeat(212)).is_err());
    }

    /// The value is what `builtins.toFile "foo" "bar"` gives in Nix.
    #[test]
    fn text_path_is_nix_s() {
        let path = text_path("foo", b"bar", []).unwrap();
        assert_eq!(path.to_absolute(), "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    }
}
