//! Uploads in progress: one writer at a time, hashed while they stream, and taken up again after a crash.
//!
//! A session keeps its hasher in memory. After each request its state is noted beside the bytes, so that a new process
//! goes on without reading the upload again: it hashes only what came after the note. After a crash of the machine the
//! note is not believed, and the bytes that are really there are hashed once.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::storage::{Storage, UploadFile, UploadId};

/// How much is read at once when bytes must be hashed again.
const REHASH_CHUNK: usize = 1 << 20;

/// How long a session that nobody uses keeps its file open.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// All uploads in progress.
pub struct Uploads {
    storage: Arc<dyn Storage>,
    sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
    /// Held while a session is taken up from the storage, so that only one is.
    reopening: Mutex<()>,
}

/// One upload.
pub struct Session {
    /// The upload's name.
    pub id: UploadId,
    /// The only repository through which it may be used.
    pub repository: RepositoryName,
    offset: AtomicU64,
    used: Mutex<Instant>,
    writer: Arc<tokio::sync::Mutex<Option<Writer>>>,
}

/// The right to append to an upload; there is one.
pub type WriterGuard = tokio::sync::OwnedMutexGuard<Option<Writer>>;

/// An upload's file and the hash of what is in it.
pub struct Writer {
    file: Box<dyn UploadFile>,
    hasher: Hasher,
}

/// What is noted beside an upload.
#[derive(Serialize, Deserialize)]
struct Note {
    repository: String,
    algorithm: String,
    offset: u64,
    hash: String,
}

impl Uploads {
    pub fn new(storage: Arc<dyn Storage>) -> Uploads {
        Uploads { storage, sessions: Mutex::default(), reopening: Mutex::new(()) }
    }

    /// How many sessions are open in this process.
    pub fn open_sessions(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Starts an upload that can be taken up again. Blocks.
    pub fn start(&self, repository: &RepositoryName, algorithm: Algorithm) -> Result<Arc<Session>, Error> {
        let id = UploadId::random();
        let file = self.storage.create_upload(&id)?;
        let mut writer = Writer { file, hasher: Hasher::new(algorithm) };
        writer.note(repository)?;
        Ok(self.remember(id, repository, writer))
    }

    /// Starts an upload that lives for one request only. Blocks.
    pub fn start_unnamed(&self, algorithm: Algorithm) -> Result<Writer, Error> {
        let file = self.storage.create_upload(&UploadId::random())?;
        Ok(Writer { file, hasher: Hasher::new(algorithm) })
    }

    /// The upload `id` of `repository`. Blocks, long if much must be hashed again.
    pub fn find(&self, repository: &RepositoryName, id: &UploadId) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.known(repository, id) {
            return Ok(session);
        }
        let _one = self.reopening.lock();
        if let Some(session) = self.known(repository, id) {
            return Ok(session);
        }
        let file = self.storage.open_upload(id)?.ok_or(Error::UploadUnknown)?;
        let writer = Writer::reopen(file, repository)?;
        Ok(self.remember(id.clone(), repository, writer))
    }

    /// The upload `id` if it is open in this process.
    pub fn known(&self, repository: &RepositoryName, id: &UploadId) -> Option<Arc<Session>> {
        let session = self.sessions.lock().get(id).cloned()?;
        *session.used.lock() = Instant::now();
        (session.repository == *repository).then_some(session)
    }

    fn remember(&self, id: UploadId, repository: &RepositoryName, writer: Writer) -> Arc<Session> {
        let session = Arc::new(Session {
            id: id.clone(),
            repository: repository.clone(),
            offset: AtomicU64::new(writer.file.length()),
            used: Mutex::new(Instant::now()),
            writer: Arc::new(tokio::sync::Mutex::new(Some(writer))),
        });
        self.sessions.lock().insert(id, Arc::clone(&session));
        session
    }

    /// Forgets a session that is finished or cancelled.
    pub fn forget(&self, id: &UploadId) {
        self.sessions.lock().remove(id);
    }

    /// Closes idle sessions and removes the uploads that got nothing for `age`. Blocks.
    pub fn sweep(&self, age: Duration) -> io::Result<usize> {
        self.sessions
            .lock()
            .retain(|_, session| Arc::strong_count(session) > 1 || session.used.lock().elapsed() < IDLE.min(age));
        self.storage.expire_uploads(age)
    }
}

impl Session {
    /// How many bytes have come.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Acquire)
    }

    /// The right to write, unless another request has it, or the session has ended.
    pub fn try_write(&self) -> Result<WriterGuard, Error> {
        let busy = |_| Error::RangeInvalid { offset: self.offset() };
        let guard = Arc::clone(&self.writer).try_lock_owned().map_err(busy)?;
        if guard.is_none() { Err(Error::UploadUnknown) } else { Ok(guard) }
    }

    /// Says how far the upload has come, for those who ask meanwhile.
    pub fn set_offset(&self, offset: u64) {
        self.offset.store(offset, Ordering::Release);
    }
}

impl Writer {
    fn reopen(mut file: Box<dyn UploadFile>, repository: &RepositoryName) -> Result<Writer, Error> {
        let saved = file.state()?;
        let note: Note = serde_json::from_slice(&saved.note).map_err(|_| Error::UploadUnknown)?;
        if note.repository != repository.as_str() {
            return Err(Error::UploadUnknown);
        }
        let algorithm: Algorithm = note.algorithm.parse()?;
        let noted = hex::decode(&note.hash).ok().and_then(|state| Hasher::restore(algorithm, &state));
        let usable = noted.filter(|_| saved.same_boot && note.offset <= file.length());
        let (mut hasher, offset) = match usable {
            Some(hasher) => (hasher, note.offset),
            None => (Hasher::new(algorithm), 0),
        };
        hash_from(file.as_mut(), &mut hasher, offset)?;
        Ok(Writer { file, hasher })
    }

    /// How many bytes have come.
    pub fn length(&self) -> u64 {
        self.file.length()
    }

    /// Appends and hashes. Blocks.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Notes the state for another process. Blocks.
    pub fn note(&mut self, repository: &RepositoryName) -> io::Result<()> {
        let note = Note {
            repository: repository.to_string(),
            algorithm: self.hasher.algorithm().as_str().to_owned(),
            offset: self.length(),
            hash: hex::encode(self.hasher.save()),
        };
        self.file.save_state(&serde_json::to_vec(&note)?)
    }

    /// Makes the upload the blob `claimed`, if that is what it is; removes it otherwise. Blocks.
    pub fn finish(mut self, claimed: &Digest) -> Result<(), Error> {
        if claimed.algorithm() != self.hasher.algorithm() {
            self.hasher = Hasher::new(claimed.algorithm());
            hash_from(self.file.as_mut(), &mut self.hasher, 0)?;
        }
        let actual = self.hasher.finish();
        if actual != *claimed {
            self.file.discard()?;
            return Err(Error::DigestMismatch { claimed: claimed.clone(), actual });
        }
        Ok(self.file.commit(claimed)?)
    }

    /// Removes the upload. Blocks.
    pub fn discard(self) -> io::Result<()> {
        self.file.discard()
    }
}

fn hash_from(file: &mut dyn UploadFile, hasher: &mut Hasher, mut offset: u64) -> io::Result<()> {
    while offset < file.length() {
        let chunk = file.read_at(offset, REHASH_CHUNK)?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&chunk);
        offset += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Filesystem;

    fn name() -> RepositoryName {
        "a/b".parse().unwrap()
    }

    #[test]
    fn another_process_goes_on_where_the_bytes_are() {
        let root = tempfile::tempdir().unwrap();
        let id = {
            let uploads = Uploads::new(Arc::new(Filesystem::open(root.path()).unwrap()));
            let session = uploads.start(&name(), Algorithm::Sha256).unwrap();
            let mut guard = session.try_write().unwrap();
            let writer = guard.as_mut().unwrap();
            writer.append(b"one ").unwrap();
            writer.note(&name()).unwrap();
            writer.append(b"two ").unwrap();
            session.id.clone()
        };
        let uploads = Uploads::new(Arc::new(Filesystem::open(root.path()).unwrap()));
        assert!(matches!(uploads.find(&"a".parse().unwrap(), &id), Err(Error::UploadUnknown)));
        let session = uploads.find(&name(), &id).unwrap();
        assert_eq!(session.offset(), 8);
        let mut writer = session.try_write().unwrap().take().unwrap();
        writer.append(b"three").unwrap();
        writer.finish(&Digest::of(Algorithm::Sha256, b"one two three")).unwrap();
        assert!(matches!(session.try_write(), Err(Error::UploadUnknown)));
    }

    #[test]
    fn a_note_from_another_boot_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Filesystem::open(root.path()).unwrap());
        let first = Uploads::new(Arc::clone(&storage));
        let session = first.start(&name(), Algorithm::Sha512).unwrap();
        let mut writer = session.try_write().unwrap().take().unwrap();
        writer.append(b"lost").unwrap();
        writer.note(&name()).unwrap();
        let data = root.path().join("uploads").join(session.id.as_str());
        let state = data.with_extension("state");
        let text = std::fs::read_to_string(&state).unwrap();
        let (_, note) = text.split_once('\n').unwrap();
        std::fs::write(&state, format!("another-boot\n{note}")).unwrap();
        std::fs::write(&data, "kept").unwrap();
        let second = Uploads::new(storage);
        let session = second.find(&name(), &session.id).unwrap();
        let writer = session.try_write().unwrap().take().unwrap();
        writer.finish(&Digest::of(Algorithm::Sha512, b"kept")).unwrap();
    }

    #[test]
    fn what_expires_is_removed_with_its_note() {
        let root = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(Arc::new(Filesystem::open(root.path()).unwrap()));
        uploads.start(&name(), Algorithm::Sha256).unwrap();
        assert_eq!(uploads.sweep(Duration::from_secs(60)).unwrap(), 0);
        assert_eq!(uploads.sweep(Duration::ZERO).unwrap(), 1);
        uploads.sweep(Duration::ZERO).unwrap();
        assert_eq!(std::fs::read_dir(root.path().join("uploads")).unwrap().count(), 0);
    }
}
