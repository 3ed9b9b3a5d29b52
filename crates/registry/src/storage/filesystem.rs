//! Storage in a directory, for one registry process.
//!
//! ```text
//! lock                                 held while a process serves this directory
//! secret                               32 random bytes
//! blobs/sha256/ab/<hex>                content, manifests included
//! uploads/<uuid>, uploads/<uuid>.state what came so far, and the note about it
//! temporary/                           files that will be renamed; emptied at start
//! records/repositories/                ordered directory of repository names
//! records/in/<name>/tags/ …            ordered directories, `/` in names written as `:`
//! ```
//!
//! A file gets its final name by rename only after its bytes are synced, and the directory is synced before the caller
//! hears of success. Start-up reads nothing of the content.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::layout::Layout;
use super::ordered::{OrderedDirectory, make_directory, sync};
use super::upload::{BlobFile, Upload};
use super::{BlobReader, Collection, Storage, UploadFile, UploadId, fill_random};
use crate::digest::Digest;

/// How many locks share the ordered directories between them.
const LOCK_STRIPES: usize = 64;

/// How old the time of change of a blob that is wanted may be before it is set anew. A collection must spare what is younger
/// than several times this.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Storage in a directory.
pub struct Filesystem {
    layout: Arc<Layout>,
    stripes: Vec<RwLock<()>>,
    hash: RandomState,
    _lock: File,
}

impl Filesystem {
    /// Opens `root`, making it if needed, for this process alone.
    ///
    /// # Errors
    /// If it cannot be written, or another process serves it (`WouldBlock`).
    pub fn open(root: &Path) -> io::Result<Filesystem> {
        // A relative path's first part has no parent that could be synced.
        let root = &std::path::absolute(root)?;
        for directory in ["blobs", "uploads", "records"] {
            make_directory(&root.join(directory))?;
        }
        let lock = File::create(root.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        let temporary = root.join("temporary");
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => make_directory(&temporary)?,
        }
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        Ok(Filesystem {
            layout: Arc::new(Layout { root: root.to_owned(), boot_id }),
            stripes: (0..LOCK_STRIPES).map(|_| RwLock::new(())).collect(),
            hash: RandomState::new(),
            _lock: lock,
        })
    }

    fn directory(&self, collection: Collection<'_>) -> PathBuf {
        let records = self.layout.root.join("records");
        let inside = |name: &str, kind: &str| records.join("in").join(name.replace('/', ":")).join(kind);
        match collection {
            Collection::Repositories => records.join("repositories"),
            Collection::Tags(name) => inside(name.as_str(), "tags"),
            Collection::Manifests(name) => inside(name.as_str(), "manifests"),
            Collection::Blobs(name) => inside(name.as_str(), "blobs"),
            Collection::Referrers(name, subject) => inside(name.as_str(), "referrers").join(subject.hex()),
        }
    }

    fn stripe(&self, directory: &Path) -> &RwLock<()> {
        &self.stripes[self.hash.hash_one(directory) as usize % LOCK_STRIPES]
    }
}

impl Storage for Filesystem {
    fn get(&self, collection: Collection<'_>, name: &str) -> io::Result<Option<Vec<u8>>> {
        OrderedDirectory::new(self.directory(collection)).find(name, |path| fs::read(path))
    }

    fn put(&self, collection: Collection<'_>, name: &str, value: &[u8]) -> io::Result<()> {
        if self.get(collection, name)?.as_deref() == Some(value) {
            return Ok(());
        }
        // An empty file is whole as soon as it exists.
        let temporary = if value.is_empty() { None } else { Some(self.layout.write_temporary(value)?) };
        let root = self.directory(collection);
        let changed = {
            let _writer = self.stripe(&root).write();
            OrderedDirectory::new(root).insert(name, |path| match &temporary {
                Some(temporary) => fs::rename(temporary, path),
                None => File::create(path).map(drop),
            })?
        };
        match sync(&changed) {
            // Another writer has split the directory, and has synced what it moved.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove(&self, collection: Collection<'_>, name: &str) -> io::Result<bool> {
        let root = self.directory(collection);
        let _writer = self.stripe(&root).write();
        OrderedDirectory::new(root).remove(name)
    }

    fn list(&self, collection: Collection<'_>, after: &str, limit: usize) -> io::Result<Vec<String>> {
        let root = self.directory(collection);
        let _reader = self.stripe(&root).read();
        OrderedDirectory::new(root).page(after, limit)
    }

    fn blob_size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        match fs::metadata(self.layout.blob_path(digest)) {
            Ok(metadata) => {
                // Whoever asks may count on it from now on, and push no copy.
                if metadata.modified()?.elapsed().is_ok_and(|age| age > FRESH) {
                    self.layout.touch(digest)?;
                }
                Ok(Some(metadata.len()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Option<Box<dyn BlobReader>>> {
        match File::open(self.layout.blob_path(digest)) {
            Ok(file) => Ok(Some(Box::new(BlobFile::new(file)?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        if self.layout.touch(digest)? {
            return Ok(());
        }
        self.layout.publish(&self.layout.write_temporary(bytes)?, digest)
    }

    fn create_upload(&self, id: &UploadId) -> io::Result<Box<dyn UploadFile>> {
        Ok(Box::new(Upload::create(Arc::clone(&self.layout), id)?))
    }

    fn open_upload(&self, id: &UploadId) -> io::Result<Option<Box<dyn UploadFile>>> {
        match Upload::open(Arc::clone(&self.layout), id) {
            Ok(upload) => Ok(Some(Box::new(upload))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn expire_uploads(&self, age: Duration) -> io::Result<usize> {
        super::upload::expire(&self.layout, age)
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        let path = self.layout.root.join("secret");
        match fs::read(&path) {
            Ok(bytes) if bytes.len() == 32 => {
                let mut secret = [0; 32];
                secret.copy_from_slice(&bytes);
                return Ok(secret);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut secret = [0; 32];
        fill_random(&mut secret);
        let temporary = self.layout.root.join("temporary").join("secret");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&secret)?;
        file.sync_data()?;
        fs::rename(&temporary, &path)?;
        sync(&self.layout.root)?;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use std::time::SystemTime;

    #[test]
    fn a_blob_that_is_asked_for_counts_as_wanted() {
        let root = tempfile::tempdir().unwrap();
        let storage = Filesystem::open(root.path()).unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"blob");
        assert_eq!(storage.blob_size(&digest).unwrap(), None);
        storage.put_blob(&digest, b"blob").unwrap();
        let path = storage.layout.blob_path(&digest);
        let age = || fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap();
        let long_ago = SystemTime::now() - 3 * FRESH;
        File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(age() > FRESH);
        assert_eq!(storage.blob_size(&digest).unwrap(), Some(4));
        assert!(age() < FRESH);
        File::open(&path).unwrap().set_modified(long_ago).unwrap();
        storage.put_blob(&digest, b"blob").unwrap();
        assert!(age() < FRESH);
    }

    #[test]
    fn a_collection_is_read_while_it_is_written() {
        let root = tempfile::tempdir().unwrap();
        let storage = Filesystem::open(root.path()).unwrap();
        let name = "a".parse().unwrap();
        let tag = |i: usize| format!("v1.{i}");
        std::thread::scope(|scope| {
            for half in [0, 1] {
                let storage = &storage;
                let name = &name;
                scope.spawn(move || {
                    for i in (half..700).step_by(2) {
                        storage.put(Collection::Tags(name), &tag(i), b"x").unwrap();
                        assert!(storage.get(Collection::Tags(name), &tag(i / 2 * 2 + half)).unwrap().is_some());
                    }
                });
            }
        });
        assert_eq!(storage.list(Collection::Tags(&name), "", 1000).unwrap().len(), 700);
    }
}
