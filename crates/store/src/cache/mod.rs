//! Binary caches: directories, here or behind a server, of compressed NARs and what is known of them.
//!
//! The layout is that of Nix's binary caches: `nix-cache-info`, `<hash part>.narinfo`, and NARs where those say.
//! [`Substituters`] take objects from several, [`export()`] fills one. How files are got is a [`Transport`]'s business.

mod binary_cache;
mod compression;
mod directory;
mod error;
mod export;
mod lookups;
mod parallel;
mod plan;
mod substituters;
mod with_caches;

use std::io::{self, Read};

use tempfile::NamedTempFile;

pub use binary_cache::{BinaryCache, CacheOptions};
pub use compression::decompress;
pub use directory::Directory;
pub use error::CacheError;
pub use export::{ExportOptions, export, put_realisations, sign};
pub use lookups::{Lifetimes, Lookups};
pub use plan::Plan;
pub use substituters::Substituters;
pub use with_caches::WithCaches;

/// The file in which a cache says what it is.
pub(crate) const CACHE_INFO: &str = "nix-cache-info";

/// Gets and puts the files of a cache.
pub trait Transport: Send + Sync {
    /// Where the cache is, for people; it has no password in it.
    fn address(&self) -> &str;

    /// A file by its name relative to the cache; `None` if it is not there.
    ///
    /// # Errors
    /// Any, among them a name that leads out of the cache.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>>;

    /// Reads many small files, at most `limit` bytes each, with this many requests on the way, and gives what came to `done`, with
    /// the place of its name: `None` for a file that is not there. What is not given has to be opened; there is no order.
    fn read_many(
        &self,
        _names: &[String],
        _limit: u64,
        _requests: usize,
        _done: &mut dyn FnMut(usize, Option<Vec<u8>>),
    ) {
    }

    /// Whether a file is there.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// A file to write what is to be put there.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new()
    }

    /// Puts a file there, whole or not at all, in place of one that is there. `content` is one of
    /// [`Transport::temporary`].
    fn put(&self, name: &str, content: NamedTempFile) -> io::Result<()>;
}

/// Whether a name that a cache has given stays below it.
///
/// # Errors
/// It leads out of the cache.
pub fn check_name(name: &str) -> io::Result<()> {
    use std::path::{Component, Path};
    if !name.is_empty() && Path::new(name).components().all(|component| matches!(component, Component::Normal(_))) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the name leads out of the cache"))
}
