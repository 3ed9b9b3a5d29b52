//! Flake references: where a tree comes from, as text (`github:NixOS/nixpkgs/nixos-24.05`) or as attributes.
//!
//! The forms are those of `nix flake`'s manual and of `libfetchers`. References by a plain path are more than text (the
//! directory above with a `.git` decides what they mean), so [`FlakeRef::parse`] only tells them apart.

mod git_url;
mod parse;
mod print;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::Hash;

pub use git_url::{git_url, submodule_url};

/// The value of an attribute of a flake reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attr {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, not negative.
    Int(u64),
    /// A text.
    String(String),
}

impl From<&str> for Attr {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Attr {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<u64> for Attr {
    fn from(number: u64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Attr {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// The attributes of a reference, as they stand in a lock file.
pub type Attrs = BTreeMap<String, Attr>;

/// How a reference's tree is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A directory.
    Path,
    /// A git repository.
    Git,
    /// A Mercurial repository.
    Mercurial,
    /// A repository on GitHub, or on a host with its interface.
    GitHub,
    /// A repository on GitLab.
    GitLab,
    /// A repository on SourceHut.
    SourceHut,
    /// An archive to be unpacked.
    Tarball,
    /// A single file.
    File,
    /// A name to be looked up in a registry.
    Indirect,
}

impl Scheme {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Path, "path"),
        (Self::Git, "git"),
        (Self::Mercurial, "hg"),
        (Self::GitHub, "github"),
        (Self::GitLab, "gitlab"),
        (Self::SourceHut, "sourcehut"),
        (Self::Tarball, "tarball"),
        (Self::File, "file"),
        (Self::Indirect, "indirect"),
    ];

    /// The name in the attribute `type`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(scheme, _)| *scheme == self).map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(scheme, _)| *scheme)
    }

    /// The attributes that a reference of this scheme may have, beside `type`, `dir` and `narHash`.
    fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::Path => &["path", "rev", "revCount", "lastModified"],
            Self::Git => &[
                "url",
                "ref",
                "rev",
                "shallow",
                "submodules",
                "lfs",
                "exportIgnore",
                "lastModified",
                "revCount",
                "allRefs",
                "name",
                "dirtyRev",
                "dirtyShortRev",
                "verifyCommit",
                "keytype",
                "publicKey",
                "publicKeys",
            ],
            Self::Mercurial => &["url", "ref", "rev", "revCount", "name"],
            Self::GitHub | Self::GitLab | Self::SourceHut => {
                &["owner", "repo", "ref", "rev", "host", "lastModified", "treeHash"]
            }
            Self::Tarball | Self::File => &["url", "name", "unpack", "rev", "revCount", "lastModified"],
            Self::Indirect => &["id", "ref", "rev"],
        }
    }

    /// The attributes that a reference of this scheme must have.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Path => &["path"],
            Self::Git | Self::Mercurial | Self::Tarball | Self::File => &["url"],
            Self::GitHub | Self::GitLab | Self::SourceHut => &["owner", "repo"],
            Self::Indirect => &["id"],
        }
    }
}

/// Why something is no flake reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not a flake reference: {reason}")]
pub struct FlakeRefError {
    /// The reference as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A flake reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlakeRef {
    attrs: Attrs,
}

/// What a text on a command line or in a `flake.nix` refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A reference that stands for itself.
    Flake(FlakeRef),
    /// A plain path, absolute or not, with its query; the tree around it decides what it means.
    Path {
        /// The path as given.
        path: String,
        /// The parameters after `?`, `dir` among them.
        query: BTreeMap<String, String>,
    },
}

impl FlakeRef {
    /// The reference with these attributes.
    pub fn from_attrs(mut attrs: Attrs) -> Result<Self, FlakeRefError> {
        let shown = format!("{attrs:?}");
        let fail = |reason: String| FlakeRefError { text: shown.clone(), reason };
        let Some(Attr::String(name)) = attrs.get("type") else {
            return Err(fail("the attribute 'type' is missing".to_owned()));
        };
        let scheme = Scheme::parse(name).ok_or_else(|| fail(format!("the type '{name}' is not known")))?;
        for key in attrs.keys() {
            if !["type", "dir", "narHash"].contains(&key.as_str()) && !scheme.allowed().contains(&key.as_str()) {
                return Err(fail(format!("the attribute '{key}' is not supported by the type '{name}'")));
            }
        }
        for key in scheme.required() {
            if !matches!(attrs.get(*key), Some(Attr::String(_))) {
                return Err(fail(format!("the type '{name}' needs the text attribute '{key}'")));
            }
        }
        parse::check_values(scheme, &attrs).map_err(fail)?;
        if let (Scheme::Git, Some(Attr::String(url))) = (scheme, attrs.get("url")) {
            let url = git_url(url).map_err(|reason| fail(format!("its address '{url}' is none: {reason}")))?;
            attrs.insert("url".to_owned(), url.into());
        }
        Ok(Self { attrs })
    }

    /// The attributes; `type` is always there.
    pub fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    /// How the tree is got.
    pub fn scheme(&self) -> Scheme {
        self.text("type").and_then(Scheme::parse).unwrap_or(Scheme::Indirect)
    }

    /// A text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name) {
            Some(Attr::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A number attribute.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.attrs.get(name) {
            Some(Attr::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// A truth attribute; `false` if it is not there.
    pub fn flag(&self, name: &str) -> bool {
        self.attrs.get(name) == Some(&Attr::Bool(true))
    }

    /// The flake's directory within the tree; empty for the tree's root.
    pub fn dir(&self) -> &str {
        self.text("dir").unwrap_or("")
    }

    /// The NAR hash that the tree must have.
    pub fn nar_hash(&self) -> Option<Hash> {
        Hash::parse(self.text("narHash")?, None).ok()
    }

    /// Sets an attribute, or takes it away.
    pub fn with(mut self, name: &str, value: Option<Attr>) -> Self {
        match value {
            Some(value) => self.attrs.insert(name.to_owned(), value),
            None => self.attrs.remove(name),
        };
        self
    }

    /// What an address means where it need not be that of a tree: an archive if its name says so, else a file. `text` is
    /// what this reference was parsed from.
    pub fn or_file(self, text: &str) -> Self {
        let archives = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
        let url = self.text("url").unwrap_or_default();
        let path = url.split('?').next().unwrap_or_default();
        let says_itself = text.starts_with("tarball+") || archives.iter().any(|ending| path.ends_with(ending));
        if self.scheme() != Scheme::Tarball || says_itself { self } else { self.with("type", Some("file".into())) }
    }

    /// Is it a path relative to the flake that names it?
    pub fn is_relative(&self) -> bool {
        self.scheme() == Scheme::Path && self.text("path").is_some_and(|path| !path.starts_with('/'))
    }

    /// Does it always mean the same tree?
    pub fn is_locked(&self) -> bool {
        match self.scheme() {
            Scheme::Path | Scheme::Tarball | Scheme::File => self.attrs.contains_key("narHash"),
            Scheme::Indirect => false,
            _ => self.attrs.contains_key("rev"),
        }
    }
}

/// Prints the reference as a URL.
impl fmt::Display for FlakeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f)
    }
}

#[cfg(test)]
mod tests;
