//! Filling a binary cache.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use nix_formats::STORE_DIR;
use nix_formats::hash::{HashAlgo, HashWriter};
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::realisation::Realisation;
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use tempfile::NamedTempFile;

use super::compression::{compress, extension};
use super::parallel::{in_order, spread};
use super::{CACHE_INFO, CacheError, Transport};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{PathInfo, Store, StoreError};

/// How many questions are on the way at the same time.
const CONNECTIONS: usize = 32;

/// How to export.
pub struct ExportOptions<'a> {
    /// How NARs are compressed.
    pub compression: Compression,
    /// How hard, by the compressor's own scale; `None` for its default.
    pub level: Option<u32>,
    /// Sign every object.
    pub keys: &'a [SecretKey],
    /// How many objects are compressed at the same time.
    pub jobs: usize,
}

impl Default for ExportOptions<'_> {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        Self { compression: Compression::Zstd, level: None, keys: &[], jobs }
    }
}

/// Writes objects and all that they refer to into a cache, each after what it refers to; returns what was written. What
/// the cache has already is left.
///
/// # Errors
/// The first object that could not be written. What was written before stays, and is closed.
pub fn export(
    store: &dyn Store,
    paths: &[StorePath],
    cache: &dyn Transport,
    options: &ExportOptions<'_>,
    progress: &dyn Progress,
) -> Result<Vec<StorePath>, CacheError> {
    begin(cache)?;
    let missing = missing(store, paths, cache)?;
    let numbers: HashMap<&StorePath, usize> =
        missing.iter().enumerate().map(|(number, info)| (&info.path, number)).collect();
    let needs: Vec<Vec<usize>> = missing
        .iter()
        .map(|info| {
            let others = info.references.iter().filter(|reference| **reference != info.path);
            others.filter_map(|reference| numbers.get(reference).copied()).collect()
        })
        .collect();
    let error = Mutex::new(None);
    in_order(options.jobs, &needs, |number| {
        if error.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return false;
        }
        let written = write_object(store, &missing[number], cache, options, progress);
        let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(new) = written {
            error.get_or_insert(new);
        }
        error.is_none()
    });
    match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(missing.into_iter().map(|info| info.path).collect()),
    }
}

/// Writes into a cache which objects outputs are of which only building told, signed.
///
/// # Errors
/// The cache cannot be written.
pub fn put_realisations(
    cache: &dyn Transport,
    realisations: impl IntoIterator<Item = Realisation>,
    keys: &[SecretKey],
) -> Result<(), CacheError> {
    for mut realisation in realisations {
        keys.iter().for_each(|key| realisation.sign(key));
        put_text(cache, &realisation.id.file_name(), &realisation.to_string())?;
    }
    Ok(())
}

/// Adds signatures to what a cache says of objects; returns how many were new.
///
/// # Errors
/// The cache lacks one of the objects, or says something of it that is malformed.
pub fn sign(cache: &dyn Transport, paths: &[StorePath], keys: &[SecretKey]) -> Result<usize, CacheError> {
    let mut added = 0;
    for path in paths {
        let name = info_name(path);
        let mut text = String::new();
        let file = cache.open(&name).map_err(|source| unreadable(cache, &name, source))?;
        let Some(mut file) = file else {
            return Err(CacheError::Missing { path: path.clone(), addresses: cache.address().to_owned() });
        };
        file.read_to_string(&mut text).map_err(|source| unreadable(cache, &name, source))?;
        let wrong = |message: String| CacheError::Malformed {
            address: cache.address().to_owned(),
            path: path.clone(),
            message,
        };
        let mut info = NarInfo::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let before = info.signatures.len();
        add_signatures(&mut info, keys);
        if info.signatures.len() > before {
            added += info.signatures.len() - before;
            put_text(cache, &name, &info.to_string())?;
        }
    }
    Ok(added)
}

/// Makes the cache one, if it is none yet.
fn begin(cache: &dyn Transport) -> Result<(), CacheError> {
    match cache.exists(CACHE_INFO).map_err(|source| unreadable(cache, CACHE_INFO, source))? {
        true => Ok(()),
        false => put_text(cache, CACHE_INFO, &format!("StoreDir: {STORE_DIR}\nWantMassQuery: 1\nPriority: 30\n")),
    }
}

/// What of the closure the cache lacks.
fn missing(store: &dyn Store, paths: &[StorePath], cache: &dyn Transport) -> Result<Vec<PathInfo>, CacheError> {
    let closure = store.closure(paths)?;
    let asked = spread(CONNECTIONS, closure, |path| {
        let name = info_name(&path);
        let there = cache.exists(&name).map_err(|source| unreadable(cache, &name, source));
        (there.map(|there| (!there).then_some(path)), Vec::new())
    });
    let missing = asked.into_iter().filter_map(Result::transpose).collect::<Result<BTreeSet<_>, _>>()?;
    missing.iter().map(|path| Ok(store.require(path)?)).collect()
}

fn write_object(
    store: &dyn Store,
    known: &PathInfo,
    cache: &dyn Transport,
    options: &ExportOptions<'_>,
    progress: &dyn Progress,
) -> Result<(), CacheError> {
    let task = Task::start(progress, Activity::Upload, known.path.name(), Some(known.nar_size));
    let (mut info, content) = compressed(store, known, cache, options, &task)?;
    add_signatures(&mut info, options.keys);
    cache.put(&info.url, content).map_err(|source| unwritable(cache, &info.url, source))?;
    // The narinfo comes last: it says that the NAR is there.
    put_text(cache, &info_name(&known.path), &info.to_string())?;
    task.finish(Outcome::Done);
    Ok(())
}

/// The object's NAR, compressed, in a file that its name follows from.
fn compressed(
    store: &dyn Store,
    known: &PathInfo,
    cache: &dyn Transport,
    options: &ExportOptions<'_>,
    task: &Task<'_>,
) -> Result<(NarInfo, NamedTempFile), CacheError> {
    let failed = |source| unwritable(cache, known.path.base_name(), source);
    let temporary = cache.temporary().map_err(failed)?;
    let mut nar_hash = None;
    let out = HashWriter::new(HashAlgo::Sha256, io::BufWriter::with_capacity(128 * 1024, temporary));
    let compressed = compress::<_, CompressError>(options.compression, options.level, out, |stream| {
        let mut hashed = HashWriter::new(HashAlgo::Sha256, Reported { inner: stream, task });
        store.write_nar(&known.path, &mut hashed)?;
        nar_hash = Some(hashed.finish().0);
        Ok(())
    });
    let out = compressed.map_err(|error| match error {
        CompressError::Store(error) => error.into(),
        CompressError::Write(error) => failed(error),
    })?;
    if let Some(actual) = nar_hash.filter(|hash| *hash != known.nar_hash) {
        let path = known.path.clone();
        return Err(StoreError::HashMismatch { path, expected: known.nar_hash.into(), actual: actual.into() }.into());
    }
    let (file_hash, file_size, out) = out.finish();
    let content = out.into_inner().map_err(|error| failed(error.into_error()))?;
    let info = NarInfo {
        path: known.path.clone(),
        url: format!("nar/{}.nar{}", file_hash.to_nix32(), extension(options.compression)),
        compression: options.compression,
        file_hash: Some(file_hash),
        file_size: Some(file_size),
        nar_hash: known.nar_hash,
        nar_size: known.nar_size,
        references: known.references.clone(),
        deriver: known.deriver.clone(),
        signatures: known.signatures.clone(),
        content_address: known.content_address,
    };
    Ok((info, content))
}

/// Why an archive could not be compressed.
enum CompressError {
    Store(StoreError),
    Write(io::Error),
}

impl From<StoreError> for CompressError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for CompressError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

fn add_signatures(info: &mut NarInfo, keys: &[SecretKey]) {
    let fingerprint = info.fingerprint();
    info.signatures.extend(keys.iter().map(|key| key.sign(fingerprint.as_bytes())));
}

fn info_name(path: &StorePath) -> String {
    format!("{}.narinfo", path.hash_part())
}

fn put_text(cache: &dyn Transport, name: &str, text: &str) -> Result<(), CacheError> {
    let put = || {
        let mut file = cache.temporary()?;
        file.write_all(text.as_bytes())?;
        cache.put(name, file)
    };
    put().map_err(|source| unwritable(cache, name, source))
}

fn unreadable(cache: &dyn Transport, name: &str, source: io::Error) -> CacheError {
    CacheError::Unreadable { address: cache.address().to_owned(), name: name.to_owned(), source }
}

fn unwritable(cache: &dyn Transport, name: &str, source: io::Error) -> CacheError {
    CacheError::Unwritable { address: cache.address().to_owned(), name: name.to_owned(), source }
}

/// Reports what is written through it.
struct Reported<'a, W> {
    inner: W,
    task: &'a Task<'a>,
}

impl<W: Write> Write for Reported<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
