//! One cache: what it says of objects, and the objects.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix_formats::STORE_DIR;
use nix_formats::narinfo::{NarInfo, NarInfoError};
use nix_formats::realisation::{OutputId, Realisation};
use nix_formats::signature::PublicKey;
use nix_formats::store_path::StorePath;

use super::lookups::Lookups;
use super::substituters::Belief;
use super::{CACHE_INFO, CacheError, Transport, compression};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{LocalStore, PathInfo, Store, StoreError};

/// The most that a narinfo may be, in bytes: room for thousands of references.
const LONGEST_INFO: u64 = 1024 * 1024;

/// The priority of a cache that does not say which it has.
const DEFAULT_PRIORITY: u32 = 50;

/// How a cache is used.
#[derive(Clone, Default)]
pub struct CacheOptions {
    /// The keys that count; `None`: objects need no signature.
    pub keys: Option<Arc<[PublicKey]>>,
    /// Takes the place of the priority that the cache itself says.
    pub priority: Option<u32>,
    /// Where answers of earlier runs are; only for caches that take time to ask.
    pub lookups: Option<Arc<Lookups>>,
    /// Nobody has named the cache: it is only asked for what a public cache can have.
    pub is_default: bool,
}

/// A binary cache that objects are taken from. Nothing is asked of it before it is needed.
pub struct BinaryCache {
    transport: Box<dyn Transport>,
    options: CacheOptions,
    /// What the cache says of itself, once it has been asked.
    priority: OnceLock<u32>,
    /// It has failed, and is not asked again; what was said of it then.
    failure: OnceLock<String>,
    /// What was asked before, with the answer.
    known: Mutex<HashMap<StorePath, Option<NarInfo>>>,
    /// The same of outputs.
    known_outputs: Mutex<BTreeMap<OutputId, Option<Realisation>>>,
}

impl BinaryCache {
    /// A cache.
    pub fn new(transport: Box<dyn Transport>, options: CacheOptions) -> Self {
        Self {
            transport,
            options,
            priority: OnceLock::new(),
            failure: OnceLock::new(),
            known: Mutex::default(),
            known_outputs: Mutex::default(),
        }
    }

    /// Where it is, for people.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// Whether nobody has named it.
    pub fn is_default(&self) -> bool {
        self.options.is_default
    }

    /// Of several caches the one with the lowest number is asked first.
    ///
    /// # Errors
    /// The cache cannot be read, or is for another store directory.
    pub fn priority(&self) -> Result<u32, CacheError> {
        if let Some(priority) = self.priority.get() {
            return Ok(*priority);
        }
        let info = self.answer(CACHE_INFO, |_| Ok(()))?.unwrap_or_default();
        let mut priority = DEFAULT_PRIORITY;
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "StoreDir" if value != STORE_DIR => {
                    return Err(CacheError::OtherStore { address: self.address().to_owned(), found: value.to_owned() });
                }
                "Priority" => priority = value.parse().unwrap_or(priority),
                _ => {}
            }
        }
        Ok(*self.priority.get_or_init(|| self.options.priority.unwrap_or(priority)))
    }

    /// What the cache says of an object; `None` if it does not have it. Asked once for each object.
    ///
    /// A cache that cannot be read is said to be so once, and has nothing from then on.
    pub fn info(&self, path: &StorePath) -> Result<Option<NarInfo>, CacheError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(known.clone());
        }
        if self.failure.get().is_some() {
            return Ok(None);
        }
        let info = self.ask(path).inspect_err(|error| {
            if error.is_of_the_cache() {
                self.failure.get_or_init(|| error.to_string());
            }
        })?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), info.clone());
        Ok(info)
    }

    /// Whether the cache has an object, if it was asked before in this process.
    pub(super) fn known(&self, path: &StorePath) -> Option<bool> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).map(Option::is_some)
    }

    /// Asks for many objects at the same time. What could not be had so, for any reason, is asked for again when it is needed.
    pub(super) fn learn(&self, paths: &[&StorePath], requests: usize) {
        if self.failure.get().is_some() || self.priority().is_err() {
            return;
        }
        let new = paths.iter().filter(|path| self.known(path).is_none() && !self.recall(path));
        let new: Vec<&StorePath> = new.copied().collect();
        let names: Vec<String> = new.iter().map(|path| info_name(path)).collect();
        self.transport.read_many(&names, LONGEST_INFO, requests, &mut |number, bytes| {
            let (path, text) = (new[number], bytes.map(String::from_utf8).transpose());
            let Ok(text) = text else { return };
            let Ok(info) = text.as_deref().map(|text| self.parse(path, text)).transpose() else { return };
            if let Some(lookups) = &self.options.lookups {
                lookups.put(self.address(), &names[number], text.as_deref());
            }
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), info);
        });
    }

    /// Makes what an earlier run was answered known. `false` if there is nothing, or nothing of use.
    fn recall(&self, path: &StorePath) -> bool {
        let lookups = self.options.lookups.as_ref();
        let Some(answer) = lookups.and_then(|lookups| lookups.get(self.address(), &info_name(path))) else {
            return false;
        };
        let Ok(info) = answer.map(|text| self.parse(path, &text)).transpose() else { return false };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), info);
        true
    }

    /// Which object the cache says an output is; `None` if it does not say.
    pub(super) fn realisation(&self, id: &OutputId) -> Result<Option<Realisation>, CacheError> {
        let known = || self.known_outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(id) {
            return Ok(known.clone());
        }
        if self.failure.get().is_some() {
            return Ok(None);
        }
        let found = self.ask_realisation(id).inspect_err(|error| {
            if error.is_of_the_cache() {
                self.failure.get_or_init(|| error.to_string());
            }
        })?;
        known().insert(id.clone(), found.clone());
        Ok(found)
    }

    fn ask_realisation(&self, id: &OutputId) -> Result<Option<Realisation>, CacheError> {
        self.priority()?;
        let name = id.file_name();
        let wrong =
            |message: String| CacheError::WrongFile { address: self.address().to_owned(), name: name.clone(), message };
        let mut found = None;
        self.answer(&name, |text| {
            let realisation = Realisation::parse(text).map_err(|error| wrong(error.to_string()))?;
            if realisation.id != *id {
                return Err(wrong(format!("it is of '{}'", realisation.id)));
            }
            found = Some(realisation);
            Ok(())
        })?;
        let Some(realisation) = found else { return Ok(None) };
        let keys = &self.options.keys;
        if keys.as_ref().is_some_and(|keys| !realisation.is_signed_by(keys)) {
            return Err(wrong("it is not signed by a trusted key".to_owned()));
        }
        Ok(Some(realisation))
    }

    /// What was said of the cache when it failed, if it has.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn ask(&self, path: &StorePath) -> Result<Option<NarInfo>, CacheError> {
        self.priority()?;
        let mut info = None;
        self.answer(&info_name(path), |text| {
            info = Some(self.parse(path, text)?);
            Ok(())
        })?;
        Ok(info)
    }

    /// Whether the object may be taken: somebody who is trusted has signed it, or its path follows from its content, in
    /// which case the store compares and nobody's word is needed.
    pub(super) fn check_signature(&self, info: &NarInfo) -> Result<(), CacheError> {
        let keys = &self.options.keys;
        if info.content_address.is_some() || keys.as_ref().is_none_or(|keys| info.is_signed_by(keys)) {
            return Ok(());
        }
        Err(CacheError::NotSigned { address: self.address().to_owned(), path: info.path.clone() })
    }

    /// Takes an object into the store, which must have everything that it refers to. `false` if the cache does not have
    /// it.
    pub(super) fn take(
        &self,
        path: &StorePath,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<bool, CacheError> {
        let Some(info) = self.info(path)? else { return Ok(false) };
        match self.unpack(&info, store, progress) {
            // The answer of an earlier run may be old: the object may have been collected, or uploaded anew.
            Err(CacheError::NoArchive { source, .. })
                if source.kind() == io::ErrorKind::NotFound && self.options.lookups.is_some() =>
            {
                self.forget(path);
                match self.info(path)? {
                    Some(fresh) => self.unpack(&fresh, store, progress).map(|()| true),
                    None => Ok(false),
                }
            }
            other => other.map(|()| true),
        }
    }

    /// The NAR of an object that may be believed, or of any where no signature is needed. `None` if the cache does not have
    /// it.
    pub(super) fn believed_nar(&self, path: &StorePath, belief: Belief) -> Result<Option<Box<dyn Read>>, CacheError> {
        let Some(info) = self.info(path)? else { return Ok(None) };
        match belief {
            Belief::Signed if self.options.keys.as_ref().is_some_and(|keys| !info.is_signed_by(keys)) => {
                return Err(CacheError::NotSigned { address: self.address().to_owned(), path: path.clone() });
            }
            Belief::Signed => {}
            Belief::SignedOrAddressed => self.check_signature(&info)?,
        }
        self.nar(&info).map(Some)
    }

    fn unpack(&self, info: &NarInfo, store: &dyn Store, progress: &dyn Progress) -> Result<(), CacheError> {
        self.check_signature(info)?;
        let task = Task::start(progress, Activity::Substitute, info.path.name(), Some(info.nar_size));
        let mut nar = Reported { inner: self.nar(info)?, task: &task };
        store.add_nar(&PathInfo::from(info), &mut nar).map_err(|source| self.refused(&info.path, source))?;
        task.finish(Outcome::Done);
        Ok(())
    }

    /// Puts the object in the place of a damaged one. `false` if the cache does not have the same.
    pub(super) fn replace(
        &self,
        path: &StorePath,
        store: &LocalStore,
        progress: &dyn Progress,
    ) -> Result<bool, CacheError> {
        let known = store.require(path)?;
        let Some(info) = self.info(path)?.filter(|info| info.nar_hash == known.nar_hash) else { return Ok(false) };
        let task = Task::start(progress, Activity::Substitute, path.name(), Some(info.nar_size));
        let mut nar = Reported { inner: self.nar(&info)?, task: &task };
        store.replace(path, &mut nar).map_err(|source| self.refused(path, source))?;
        task.finish(Outcome::Done);
        Ok(true)
    }

    /// The object's NAR as it comes.
    fn nar(&self, info: &NarInfo) -> Result<Box<dyn Read>, CacheError> {
        let open = || {
            let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not there");
            compression::decompress(info.compression, self.transport.open(&info.url)?.ok_or_else(gone)?)
        };
        open().map_err(|source| CacheError::NoArchive {
            address: self.address().to_owned(),
            path: info.path.clone(),
            name: info.url.clone(),
            source,
        })
    }

    fn refused(&self, path: &StorePath, source: StoreError) -> CacheError {
        CacheError::Store { address: self.address().to_owned(), path: path.clone(), source: Box::new(source) }
    }

    fn forget(&self, path: &StorePath) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        if let Some(lookups) = &self.options.lookups {
            lookups.forget(self.address(), &info_name(path));
        }
    }

    fn parse(&self, path: &StorePath, text: &str) -> Result<NarInfo, CacheError> {
        let wrong =
            |message: String| CacheError::Malformed { address: self.address().to_owned(), path: path.clone(), message };
        let info = NarInfo::parse(text).map_err(|error: NarInfoError| wrong(error.to_string()))?;
        if info.path != *path {
            return Err(wrong(format!("its narinfo is that of '{}'", info.path)));
        }
        Ok(info)
    }

    /// The text of a file of the cache, from an earlier run if that is not old. Only what `check` takes is kept.
    fn answer(
        &self,
        name: &str,
        mut check: impl FnMut(&str) -> Result<(), CacheError>,
    ) -> Result<Option<String>, CacheError> {
        let lookups = self.options.lookups.as_deref();
        if let Some(known) = lookups.and_then(|lookups| lookups.get(self.address(), name))
            && known.as_deref().is_none_or(|text| check(text).is_ok())
        {
            return Ok(known);
        }
        let text = self.read(name).map_err(|source| self.unreadable(name, source))?;
        text.as_deref().map_or(Ok(()), check)?;
        if let Some(lookups) = lookups {
            lookups.put(self.address(), name, text.as_deref());
        }
        Ok(text)
    }

    fn read(&self, name: &str) -> io::Result<Option<String>> {
        let Some(file) = self.transport.open(name)? else { return Ok(None) };
        let mut text = String::new();
        if file.take(LONGEST_INFO + 1).read_to_string(&mut text)? as u64 > LONGEST_INFO {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LONGEST_INFO} bytes")));
        }
        Ok(Some(text))
    }

    fn unreadable(&self, name: &str, source: io::Error) -> CacheError {
        CacheError::Unreadable { address: self.address().to_owned(), name: name.to_owned(), source }
    }
}

fn info_name(path: &StorePath) -> String {
    format!("{}.narinfo", path.hash_part())
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
