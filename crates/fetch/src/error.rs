//! Errors of fetching.

use std::io;
use std::path::PathBuf;

use nix_formats::flake_lock::LockError;
use nix_formats::flake_ref::FlakeRefError;
use nix_formats::hash::Hash;
use nix_formats::store_path::StorePathError;
use store::StoreError;
use store::fs_nar::TreeError;
use thiserror::Error;

/// Why something could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tree could not be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name is not fit for a store path.
    #[error(transparent)]
    Name(#[from] StorePathError),
    /// A reference is malformed.
    #[error(transparent)]
    Reference(#[from] FlakeRefError),
    /// A lock file is malformed.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file could not be read or written.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Nothing, or no flake, where a path points.
    #[error("path '{}' {reason}", path.display())]
    NotAFlake {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A git repository could not be read.
    #[error("cannot {action} in the git repository '{}': {message}", path.display())]
    Git {
        /// What was tried.
        action: &'static str,
        /// The repository.
        path: PathBuf,
        /// What git's library says.
        message: String,
    },
    /// Git could not fetch a repository from another machine.
    #[error("cannot fetch the git repository '{url}': {message}")]
    GitFetch {
        /// The address.
        url: String,
        /// What git says.
        message: String,
    },
    /// The program that fetches git repositories is not there.
    #[error(
        "fetching the git repository '{url}' needs the program '{program}', which {problem}; install git, or use an \
         archive ('github:', 'gitlab:', 'https:') of the revision"
    )]
    NoGit {
        /// The address.
        url: String,
        /// The program.
        program: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A server could not be reached, or did not answer as it should.
    #[error("cannot download '{url}': {message}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        message: String,
    },
    /// The address of a binary cache is of no use.
    #[error("cannot use '{address}' as a binary cache: {problem}")]
    CacheAddress {
        /// The address, without its parameters.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An archive is malformed, or tries to escape.
    #[error("cannot unpack '{url}': {message}")]
    Archive {
        /// Where the archive comes from.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// What was fetched has another hash than it should.
    #[error("hash mismatch in '{what}': specified {expected}, got {actual}")]
    HashMismatch {
        /// The reference or address.
        what: String,
        /// The hash it should have.
        expected: Box<Hash>,
        /// The hash it has.
        actual: Box<Hash>,
    },
    /// A commit is not the one that was asked for, or is not there.
    #[error("'{what}': {reason}")]
    Revision {
        /// The reference.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The network would be needed, but may not be used.
    #[error("'{url}' is not in the cache, and the network is not used (--offline)")]
    Offline {
        /// The address.
        url: String,
    },
    /// A kind of source that cannot be fetched.
    #[error("cannot fetch '{what}': {reason}")]
    Unsupported {
        /// The reference.
        what: String,
        /// Why, and what to use instead.
        reason: &'static str,
    },
    /// A registry of flakes is malformed.
    #[error("the registry '{place}' is malformed: {message}")]
    Registry {
        /// Its address or path.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// The inputs of a flake could not be read, or do not go together.
    #[error("cannot lock the inputs of '{flake}': {message}")]
    Inputs {
        /// The flake.
        flake: String,
        /// What is wrong.
        message: String,
    },
}

impl FetchError {
    /// Whether a server has answered, and what was asked for is not there.
    pub(crate) fn says_no(&self) -> bool {
        matches!(self, Self::Download { message, .. } if message.contains("404") || message.contains("there is no "))
    }

    /// For `map_err`: an input or output error, with what was tried on which file.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}
