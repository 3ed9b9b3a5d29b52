//! A host that notes what an evaluation asks, and hands every question on.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eval::{CopyPath, FetchRequest, FetchValue, Fetched, FileType, Host, HostError, Level, LockedFlake, Wanted};
use nix_formats::content_address::Method;
use nix_formats::flake_lock::LockFile;
use nix_formats::store_path::StorePath;

use super::dependency::{Dependency, Request, Source, content_hash, listing_hash, stamp_of, summary};
use super::entry::Message;
use super::stamp::Moment;
use super::tree::Looking;
use crate::embedded;
use crate::host::ProjectHost;

/// More messages than this are not worth keeping.
const MAX_MESSAGES: usize = 64 << 10;

/// What was noted so far.
pub(crate) struct Recording {
    pub(super) since: Moment,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    dependencies: Vec<Dependency>,
    /// What was asked already, so that each question is noted once.
    asked: HashSet<(u8, PathBuf)>,
    messages: Vec<Message>,
    /// How many bytes the messages have.
    message_bytes: usize,
    /// Why the result must not be kept.
    spoiled: Option<&'static str>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Self { since: Moment::now(), noted: Mutex::default() }
    }

    /// What was asked, and what was said; `None` if the result must not be kept.
    pub(super) fn finish(&self) -> Option<(Vec<Dependency>, Vec<Message>)> {
        let mut noted = self.lock();
        match noted.spoiled {
            Some(_) => None,
            None => {
                let mut dependencies = std::mem::take(&mut noted.dependencies);
                // Kinds last: those of the files that were read are then known.
                dependencies.sort_by_key(|dependency| matches!(dependency, Dependency::Kind { .. }));
                Some((dependencies, std::mem::take(&mut noted.messages)))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spoil(&self, why: &'static str) {
        self.lock().spoiled.get_or_insert(why);
    }

    /// Whether a question is asked for the first time.
    fn is_new(&self, question: u8, path: &Path) -> bool {
        self.lock().asked.insert((question, path.to_owned()))
    }

    fn note(&self, dependency: Dependency) {
        self.lock().dependencies.push(dependency);
    }
}

/// The kinds of questions about paths.
const FILE: u8 = 0;
const DIRECTORY: u8 = 1;
const KIND: u8 = 2;
const LINK: u8 = 3;
const VARIABLE: u8 = 4;
const OBJECT: u8 = 5;

/// The host that notes.
pub(crate) struct Recorder {
    pub(crate) inner: ProjectHost,
    pub(crate) recording: Arc<Recording>,
}

impl Recorder {
    /// Hands a result on; one that failed spoils the recording, as nobody knows what the program made of it.
    fn passed<T>(&self, result: Result<T, HostError>) -> Result<T, HostError> {
        if result.is_err() {
            self.recording.spoil("a question failed");
        }
        result
    }

    /// What is part of the binary cannot change without it.
    fn is_new(&self, question: u8, path: &Path) -> bool {
        !embedded::covers(path) && self.recording.is_new(question, path)
    }

    fn note_kind(&self, path: &Path, kind: Option<FileType>) {
        if self.is_new(KIND, path) {
            let kind = kind.map(|kind| kind.name().to_owned());
            self.recording.note(Dependency::Kind { path: path.to_owned(), kind });
        }
    }

    fn note_source(&self, source: Source) {
        self.recording.note(Dependency::Source(Box::new(source)));
    }

    fn spoiled<T>(&self, result: io::Result<T>) -> Option<T> {
        if result.is_err() {
            self.recording.spoil("a source could not be looked at");
        }
        result.ok()
    }

    fn copy_whole(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        let (source, name, flat) = (copy.source.to_owned(), copy.name.to_owned(), copy.method == Method::Flat);
        // The look first: what changes while it is copied then looks different.
        let mut looking = Looking::default();
        let real = self.inner.files.locate(&source, true)?;
        let looked = self.spoiled(looking.walk(&real, Path::new(""), &[].into()));
        let store_path = self.inner.copy_path(copy)?;
        if looked.is_some() {
            self.note_source(Source {
                source,
                name,
                flat,
                refused: None,
                look: looking.finish(),
                store_path: store_path.clone(),
            });
        }
        Ok(store_path)
    }

    fn copy_filtered(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        let CopyPath { source, name, method, filter: Some(filter), expected } = copy else {
            return self.inner.copy_path(copy);
        };
        let real = self.inner.files.locate(source, true)?;
        let mut looking = Looking::default();
        let root = real.symlink_metadata().map(|metadata| {
            let kind = if metadata.is_dir() { FileType::Directory } else { FileType::Regular };
            looking.take(Path::new(""), &metadata, kind);
        });
        let mut looked = self.spoiled(root);
        let mut noting = |path: &Path, kind: FileType| {
            let keep = filter(path, kind)?;
            let relative = path.strip_prefix(source).unwrap_or(path);
            match keep {
                true => {
                    let metadata = self.spoiled(real.join(relative).symlink_metadata());
                    looked = looked.and(metadata.map(|metadata| looking.take(relative, &metadata, kind)));
                }
                false => looking.refuse(relative, kind),
            }
            Ok(keep)
        };
        let copy = CopyPath { source, name, method, filter: Some(&mut noting), expected };
        let store_path = self.inner.copy_path(copy)?;
        if looked.is_some() {
            let refused = Some(looking.refused());
            let (source, name, flat) = (source.to_owned(), name.to_owned(), method == Method::Flat);
            let look = looking.finish();
            self.note_source(Source { source, name, flat, refused, look, store_path: store_path.clone() });
        }
        Ok(store_path)
    }

    /// Whether the tree of a flake alone decides about its lock: its lock file says all there is to say.
    fn is_settled(&self, locked: &LockedFlake) -> bool {
        let Ok(lock) = LockFile::parse(&locked.lock_file) else { return false };
        let is_pinned = lock.nodes.values().filter_map(|node| node.lock.as_ref());
        if !is_pinned.map(|pin| &pin.locked).all(|pin| pin.is_locked() || pin.is_relative()) {
            return false;
        }
        if lock.nodes.len() == 1 {
            return true;
        }
        let root = locked.sources.iter().find(|(key, _, _)| *key == lock.root);
        let Some((_, fetched, directory)) = root else { return false };
        let file = PathBuf::from(fetched.path.to_absolute()).join(directory).join("flake.lock");
        let text = self.inner.read_file(&file).ok().and_then(|text| String::from_utf8(text).ok());
        text.and_then(|text| LockFile::parse(&text).ok()).is_some_and(|own| own.print() == lock.print())
    }
}

/// Whether the arguments of a fetch fix its result.
fn is_fixed(request: &FetchRequest) -> bool {
    ["sha256", "hash", "narHash"].iter().any(|name| matches!(request.attrs.get(*name), Some(FetchValue::String(_))))
}

impl Host for Recorder {
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        if !self.is_new(FILE, path) {
            return self.inner.read_file(path);
        }
        let stamp = stamp_of(&self.inner, path);
        let content = self.passed(self.inner.read_file(path))?;
        match stamp {
            Some(stamp) => {
                let hash = content_hash(&content);
                self.recording.note(Dependency::File { path: path.to_owned(), stamp, hash });
            }
            None => self.recording.spoil("a file could not be looked at"),
        }
        Ok(content)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        if !self.is_new(DIRECTORY, path) {
            return self.inner.read_dir(path);
        }
        let stamp = stamp_of(&self.inner, path);
        let entries = self.passed(self.inner.read_dir(path))?;
        match stamp {
            Some(stamp) => {
                let hash = listing_hash(entries.clone());
                self.recording.note(Dependency::Directory { path: path.to_owned(), stamp, hash });
            }
            None => self.recording.spoil("a directory could not be looked at"),
        }
        Ok(entries)
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        let kind = self.passed(self.inner.file_type(path))?;
        self.note_kind(path, kind);
        Ok(kind)
    }

    fn visible_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        let kind = match self.inner.file_type(path) {
            // The mode of evaluation refuses it, which is part of the key.
            Err(HostError::Refused(_)) if self.inner.is_pure() => return Ok(None),
            // Where links lead is not.
            refused @ Err(HostError::Refused(_)) => return self.passed(refused).or(Ok(None)),
            seen => self.passed(seen)?,
        };
        self.note_kind(path, kind);
        Ok(kind)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        let target = self.passed(self.inner.read_link(path))?;
        if self.is_new(LINK, path) {
            self.recording.note(Dependency::Link { path: path.to_owned(), target: target.clone() });
        }
        Ok(target)
    }

    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        if embedded::covers(copy.source) {
            return self.passed(self.inner.copy_path(copy));
        }
        self.passed(if copy.filter.is_some() { self.copy_filtered(copy) } else { self.copy_whole(copy) })
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError> {
        self.passed(self.inner.add_text(name, contents, references))
    }

    fn add_derivation(&self, path: &StorePath, aterm: Vec<u8>) -> Result<(), HostError> {
        self.passed(self.inner.add_derivation(path, aterm))
    }

    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError> {
        let paths = self.passed(self.inner.realise(wanted))?;
        for path in &paths {
            if self.is_new(OBJECT, Path::new(path.base_name())) {
                self.recording.note(match self.inner.files.elsewhere.find(path) {
                    None => Dependency::Object { path: path.clone() },
                    Some(object) => Dependency::Elsewhere { path: path.clone(), object },
                });
            }
        }
        Ok(paths)
    }

    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError> {
        self.passed(self.inner.ensure_path(path))?;
        if self.is_new(OBJECT, Path::new(path.base_name())) {
            self.recording.note(Dependency::Object { path: path.clone() });
        }
        Ok(())
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, HostError> {
        // They follow from the object's content, and that it was read is noted.
        self.passed(self.inner.references(path))
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.inner.env_var(name);
        if self.is_new(VARIABLE, Path::new(name)) {
            let hash = value.as_deref().map(content_hash);
            self.recording.note(Dependency::Variable { name: name.to_owned(), hash });
        }
        value
    }

    fn current_time(&self) -> i64 {
        self.recording.spoil("the program asked for the time");
        self.inner.current_time()
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        if is_fixed(request) {
            return self.passed(self.inner.fetch(request));
        }
        let state = self.inner.fetch_state(request);
        let fetched = self.passed(self.inner.fetch(request))?;
        let result = summary(&fetched);
        self.recording.note(Dependency::Fetch { request: Request::of(request), state, result });
        Ok(fetched)
    }

    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError> {
        let state = self.inner.flake_state(reference);
        let locked = self.passed(self.inner.lock_flake(reference))?;
        let state = state.filter(|_| self.is_settled(&locked));
        let result = summary(&locked);
        self.recording.note(Dependency::Flake { reference: reference.to_owned(), state, result });
        Ok(locked)
    }

    fn show(&self, level: Level, message: &str) {
        let mut noted = self.recording.lock();
        noted.message_bytes += message.len();
        if noted.message_bytes > MAX_MESSAGES {
            noted.spoiled.get_or_insert("the program said too much");
        } else {
            noted.messages.push(Message::new(level, message));
        }
        drop(noted);
        self.inner.show(level, message);
    }
}
