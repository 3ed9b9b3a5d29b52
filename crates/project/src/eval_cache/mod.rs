//! The evaluation cache: what a target gave before, as long as nothing has changed that the evaluation saw.
//!
//! The evaluator sees the world through [`eval::Host`] alone. A [`Recorder`] stands between the two and notes each
//! question with its answer; the result is kept with these [dependencies](dependency::Dependency) in a file whose name
//! follows from everything else that decides about it (the [`Key`]). Before a kept result is taken, every question is
//! asked again, by the cheapest means: a file that looks to `stat` as before is not read.
//!
//! An entry is only a shortcut. One that is damaged, cannot be read or cannot be written is as good as none, and what it
//! leaves undone (derivations that are not in the store any more) is done by evaluating again.

mod dependency;
mod entry;
mod recorder;
mod stamp;
mod tree;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use eval::Host;

use crate::derived::Derived;
use crate::host::ProjectHost;
use dependency::{RegularFiles, Verdict};
use entry::Entry;
use stamp::Moment;

pub(crate) use recorder::{Recorder, Recording};

/// The form of entries; another one is another directory.
const VERSION: &str = "v1";
/// How much the entries may take in all, in bytes, and what is left when it was too much.
const MAX_BYTES: u64 = 64 << 20;
const KEPT_BYTES: u64 = 48 << 20;

/// Everything that decides about a result and is not read by the evaluation itself.
pub(crate) struct Key(String);

impl Key {
    /// A key of texts; which of them says what is for the caller to know.
    pub(crate) fn of(parts: &[String]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hasher.finalize().to_hex().to_string())
    }
}

/// The cache in a directory.
pub(crate) struct EvalCache {
    directory: PathBuf,
}

impl EvalCache {
    /// The cache below the directory of all caches.
    pub(crate) fn new(caches: &Path) -> Self {
        Self { directory: caches.join("eval").join(VERSION) }
    }

    /// What is kept under a key, if it still holds. What the evaluation said is said again.
    pub(crate) fn find(&self, key: &Key, host: &ProjectHost) -> Option<Vec<Derived>> {
        let file = self.directory.join(&key.0);
        let mut entry = Entry::parse(&fs::read(&file).ok()?)?;
        let now = Moment::now();
        let (mut was_read, mut regular) = (false, RegularFiles::new());
        for dependency in &mut entry.dependencies {
            match dependency.check(host, entry.since, &mut regular) {
                Verdict::Same => {}
                Verdict::Read(current) => {
                    *dependency = current;
                    was_read = true;
                }
                Verdict::Changed => return None,
            }
        }
        if was_read {
            // What was young or merely touched need not be read the next time.
            entry.since = now;
            self.write(&file, &entry);
        } else if let Ok(opened) = File::open(&file) {
            // The time of the last use decides who goes first.
            let _ = opened.set_modified(SystemTime::now());
        }
        for message in &entry.messages {
            host.show(message.level(), &message.text);
        }
        Some(entry.derived)
    }

    /// Keeps a result, if it may be kept.
    pub(crate) fn keep(&self, key: &Key, recording: &Recording, derived: &[Derived]) {
        let Some((dependencies, messages)) = recording.finish() else { return };
        let entry = Entry { since: recording.since, dependencies, messages, derived: derived.to_vec() };
        self.write(&self.directory.join(&key.0), &entry);
        self.shrink();
    }

    /// Without the entry the next evaluation is slower, and nothing else.
    fn write(&self, file: &Path, entry: &Entry) {
        let write = || -> Option<()> {
            let text = entry.print()?;
            fs::create_dir_all(&self.directory).ok()?;
            let mut temporary = tempfile::NamedTempFile::new_in(&self.directory).ok()?;
            temporary.write_all(&text).ok()?;
            temporary.persist(file).ok()?;
            Some(())
        };
        let _ = write();
    }

    /// Removes what was not used for the longest time where there is too much.
    fn shrink(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        if total <= MAX_BYTES {
            return;
        }
        files.sort();
        for (_, size, file) in files {
            if total <= KEPT_BYTES {
                break;
            }
            if fs::remove_file(file).is_ok() {
                total -= size;
            }
        }
    }
}
