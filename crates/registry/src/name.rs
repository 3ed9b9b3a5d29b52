//! Repository names, tags and references, by the grammars of the OCI distribution specification.
//!
//! What parses here cannot hold `..`, an empty component, a control character or a colon, so it is safe in a path.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, InvalidDigest};

/// A repository's name: lower-case components between `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// A tag: at most 128 of `[A-Za-z0-9._-]`, not starting with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// What stands after `manifests/`: a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

/// A text that is no repository name or tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a repository name.
    #[error(
        "a repository's name is lower-case letters and digits, in components between `/`, with `.`, `_`, `__` or `-` inside a component, and at most 255 characters"
    )]
    Repository,
    /// Not a tag.
    #[error("a tag is at most 128 letters, digits, `_`, `.` and `-`, and does not start with `.` or `-`")]
    Tag,
}

/// The longest name that one directory entry can hold.
const LONGEST_NAME: usize = 255;

impl RepositoryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<RepositoryName, InvalidName> {
        let valid = text.len() <= LONGEST_NAME && text.split('/').all(is_component);
        if valid { Ok(RepositoryName(text.to_owned())) } else { Err(InvalidName::Repository) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|b| alphanumeric(*b)) || !bytes.last().is_some_and(|b| alphanumeric(*b)) {
        return false;
    }
    text.split(|c: char| c.is_ascii() && alphanumeric(c as u8))
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Tag, InvalidName> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        if first && text.len() <= 128 && text.bytes().all(inner) {
            Ok(Tag(text.to_owned()))
        } else {
            Err(InvalidName::Tag)
        }
    }
}

/// Why a text is neither tag nor digest.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidReference {
    /// It has no `:`, so it should be a tag.
    #[error(transparent)]
    Tag(#[from] InvalidName),
    /// It has a `:`, so it should be a digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        if text.contains(':') { Ok(Reference::Digest(text.parse()?)) } else { Ok(Reference::Tag(text.parse()?)) }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        for name in ["a", "library/nginx", "a.b/c_d/e__f/g---h", "0/1"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        let long = "a".repeat(256);
        for name in
            ["", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a..b", "a___b", "-a", "a_", "a b", "a\0", "é", &long]
        {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
    }

    #[test]
    fn tags_follow_the_grammar() {
        for tag in ["latest", "1.2.3", "_x", "V-1", &"a".repeat(128)] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in ["", ".", "..", "-a", "a/b", "a+b", "a b", &"a".repeat(129)] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn a_name_never_leaves_its_directory(text in "[a-z./_%-]{0,12}") {
            if let Ok(name) = text.parse::<RepositoryName>() {
                prop_assert!(name.as_str().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}
