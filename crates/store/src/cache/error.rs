//! Errors of binary caches. Each says which cache, and which object or file.

use std::io;

use nix_formats::STORE_DIR;
use nix_formats::store_path::StorePath;
use thiserror::Error;

use crate::StoreError;

/// Why an object could not be got from a cache, or put into one.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The cache cannot be read.
    #[error("cannot read '{name}' from the binary cache '{address}': {source}")]
    Unreadable {
        /// The cache.
        address: String,
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The archive of an object cannot be read.
    #[error("cannot read '{name}', the archive of '{path}', from the binary cache '{address}': {source}")]
    NoArchive {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
        /// The archive's file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("cannot write '{name}' to the binary cache '{address}': {source}")]
    Unwritable {
        /// The cache.
        address: String,
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The cache is for objects of another store directory.
    #[error("the binary cache '{address}' is for the store directory '{found}', not for '{STORE_DIR}'")]
    OtherStore {
        /// The cache.
        address: String,
        /// What it is for.
        found: String,
    },
    /// What the cache says of an object is malformed, or is said of another.
    #[error("the binary cache '{address}' is wrong about '{path}': {message}")]
    Malformed {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
        /// What is wrong.
        message: String,
    },
    /// A file of the cache that tells which object an output is cannot be used.
    #[error("'{name}' of the binary cache '{address}' cannot be used: {message}")]
    WrongFile {
        /// The cache.
        address: String,
        /// The file.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Nobody who is trusted has signed the object.
    #[error("'{path}' from the binary cache '{address}' is not signed by a trusted key")]
    NotSigned {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
    },
    /// No cache has an object.
    #[error("no binary cache has '{path}' (asked: {addresses})")]
    Missing {
        /// The object.
        path: StorePath,
        /// The caches that were asked.
        addresses: String,
    },
    /// A cache that has failed before, so that it is not known whether it has an object.
    #[error("cannot look for '{path}': {reason}")]
    Unavailable {
        /// The object.
        path: StorePath,
        /// What was said of the cache when it failed.
        reason: String,
    },
    /// The objects that a cache names as references refer to each other in a circle.
    #[error("the references of '{path}' lead back to itself, says the binary cache '{address}'")]
    Cycle {
        /// The cache.
        address: String,
        /// One of the objects.
        path: StorePath,
    },
    /// The object is not what was announced, or the store failed.
    #[error("cannot take '{path}' from the binary cache '{address}': {source}")]
    Store {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
        /// Why.
        source: Box<StoreError>,
    },
    /// The store that is read or written has failed, whatever the cache.
    #[error(transparent)]
    Local(#[from] StoreError),
}

impl CacheError {
    /// Whether the cache as a whole cannot be used, so that there is no use in asking it for more.
    pub(super) fn is_of_the_cache(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::OtherStore { .. })
    }
}
