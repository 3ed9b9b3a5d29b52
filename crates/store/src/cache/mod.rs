//! Binary caches: directories, here or behind a server, of compressed NARs and what is known of them.
//!
//! The layout is that of Nix's binary caches: `nix-cache-info`, `<hash part>.narinfo`, and NARs where those say.
//! [`BinaryCache`] takes objects from one, [`export()`] makes one. How files are got is a [`Transport`]'s business.

mod compression;
mod directory;
mod export;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use nix_formats::STORE_DIR;
use nix_formats::narinfo::{NarInfo, NarInfoError};
use nix_formats::signature::PublicKey;
use nix_formats::store_path::StorePath;
use thiserror::Error;

use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{PathInfo, Store, StoreError};

pub use directory::Directory;
pub use export::{ExportOptions, export};

/// The most that a narinfo may be, in bytes: room for thousands of references.
const LONGEST_INFO: u64 = 1024 * 1024;

/// Gets the files of a cache.
pub trait Transport: Send + Sync {
    /// Where the cache is, for people.
    fn address(&self) -> &str;

    /// A file by its name relative to the cache; `None` if it is not there.
    ///
    /// # Errors
    /// Any, among them a name that leads out of the cache.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>>;
}

/// Why an object could not be got from a cache.
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
    /// Nobody who is trusted has signed the object.
    #[error("'{path}' from the binary cache '{address}' is not signed by a trusted key")]
    NotSigned {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
    },
    /// The cache lacks an object.
    #[error("the binary cache '{address}' does not have '{path}'")]
    Missing {
        /// The cache.
        address: String,
        /// The object.
        path: StorePath,
    },
    /// The object is not what was announced, or the store failed.
    #[error("cannot take an object from the binary cache '{address}': {source}")]
    Store {
        /// The cache.
        address: String,
        /// Why.
        source: StoreError,
    },
}

/// A binary cache that objects are taken from.
pub struct BinaryCache {
    transport: Box<dyn Transport>,
    /// The keys that count; `None`: objects need no signature.
    keys: Option<Vec<PublicKey>>,
    priority: u32,
    /// What was asked before, with the answer.
    known: Mutex<HashMap<StorePath, Option<NarInfo>>>,
}

impl BinaryCache {
    /// Opens a cache. With `keys`, only what one of them has signed is taken, and what proves itself by its content.
    pub fn open(transport: Box<dyn Transport>, keys: Option<Vec<PublicKey>>) -> Result<Self, CacheError> {
        let mut cache = Self { transport, keys, priority: 50, known: Mutex::default() };
        let info = cache.read("nix-cache-info")?.unwrap_or_default();
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "StoreDir" if value != STORE_DIR => {
                    return Err(CacheError::OtherStore { address: cache.address(), found: value.to_owned() });
                }
                "Priority" => cache.priority = value.parse().unwrap_or(cache.priority),
                _ => {}
            }
        }
        Ok(cache)
    }

    /// Of several caches the one with the lowest number is asked first.
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// What the cache says of an object; `None` if it does not have it. Asked once for each object.
    pub fn info(&self, path: &StorePath) -> Result<Option<NarInfo>, CacheError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(known.clone());
        }
        let text = self.read(&format!("{}.narinfo", path.hash_part()))?;
        let info = text.map(|text| self.parse(path, &text)).transpose()?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), info.clone());
        Ok(info)
    }

    /// Takes an object and all that it refers to into the store, as far as they are not there; returns what was taken.
    pub fn take(
        &self,
        path: &StorePath,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<Vec<StorePath>, CacheError> {
        let mut taken = Vec::new();
        // What is needed comes before what needs it, so that a failure leaves the store closed.
        let mut stack = vec![(path.clone(), false)];
        let mut seen = BTreeSet::new();
        while let Some((path, is_ready)) = stack.pop() {
            if !is_ready && !seen.insert(path.clone()) {
                continue;
            }
            store.add_temp_root(&path).map_err(|source| self.failed(source))?;
            if store.is_valid(&path).map_err(|source| self.failed(source))? {
                continue;
            }
            let missing = || CacheError::Missing { address: self.address(), path: path.clone() };
            let info = self.info(&path)?.ok_or_else(missing)?;
            if is_ready {
                self.take_one(&info, store, progress)?;
                taken.push(path);
            } else {
                stack.push((path, true));
                stack.extend(info.references.into_iter().map(|reference| (reference, false)));
            }
        }
        Ok(taken)
    }

    fn take_one(&self, info: &NarInfo, store: &dyn Store, progress: &dyn Progress) -> Result<(), CacheError> {
        // An object whose path follows from its content needs nobody's word; the store compares.
        let is_trusted =
            info.content_address.is_some() || self.keys.as_ref().is_none_or(|keys| info.is_signed_by(keys));
        if !is_trusted {
            return Err(CacheError::NotSigned { address: self.address(), path: info.path.clone() });
        }
        let task = Task::start(progress, Activity::Substitute, info.path.name(), Some(info.nar_size));
        let opened = self.transport.open(&info.url).and_then(|file| file.ok_or(io::ErrorKind::NotFound.into()));
        let stream = opened
            .and_then(|file| compression::decompress(info.compression, file))
            .map_err(|source| self.unreadable(&info.url, source))?;
        let mut nar = Reported { inner: stream, task: &task };
        store.add_nar(&path_info(info), &mut nar).map_err(|source| self.failed(source))?;
        task.finish(Outcome::Done);
        Ok(())
    }

    fn parse(&self, path: &StorePath, text: &str) -> Result<NarInfo, CacheError> {
        let wrong = |message: String| CacheError::Malformed { address: self.address(), path: path.clone(), message };
        let info = NarInfo::parse(text).map_err(|error: NarInfoError| wrong(error.to_string()))?;
        if info.path != *path {
            return Err(wrong(format!("its narinfo is that of '{}'", info.path)));
        }
        Ok(info)
    }

    fn read(&self, name: &str) -> Result<Option<String>, CacheError> {
        let read = || -> io::Result<Option<String>> {
            let Some(file) = self.transport.open(name)? else { return Ok(None) };
            let mut text = String::new();
            file.take(LONGEST_INFO).read_to_string(&mut text)?;
            Ok(Some(text))
        };
        read().map_err(|source| self.unreadable(name, source))
    }

    fn address(&self) -> String {
        self.transport.address().to_owned()
    }

    fn unreadable(&self, name: &str, source: io::Error) -> CacheError {
        CacheError::Unreadable { address: self.address(), name: name.to_owned(), source }
    }

    fn failed(&self, source: StoreError) -> CacheError {
        CacheError::Store { address: self.address(), source }
    }
}

/// What the store is to know of an object that a cache has.
fn path_info(info: &NarInfo) -> PathInfo {
    PathInfo {
        references: info.references.clone(),
        deriver: info.deriver.clone(),
        signatures: info.signatures.clone(),
        content_address: info.content_address,
        ..PathInfo::new(info.path.clone(), info.nar_hash, info.nar_size)
    }
}

/// Reports what is read through it.
struct Reported<'a, R> {
    inner: R,
    task: &'a Task<'a>,
}

impl<R: Read> Read for Reported<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }
}
