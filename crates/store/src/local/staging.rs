//! Where objects are made before they are moved to their places.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::layout::Layout;
use super::locks::try_flock;
use crate::{StoreError, fs_nar};

/// A directory for objects in the making, in the store's file system. It is deleted with this.
pub struct Staging {
    path: PathBuf,
    /// Held locked, which tells other processes that the maker lives.
    _lock: File,
}

impl Staging {
    pub(super) fn create(layout: &Layout) -> Result<Self, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // Whoever clears abandoned directories holds this exclusively, so none is seen before it is locked.
        let all = open_dir(&layout.staging)?;
        try_flock(&all, FlockOperation::LockShared, &layout.staging)?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = layout.staging.join(format!("{}.{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let lock = open_dir(&path)?;
                    try_flock(&lock, FlockOperation::LockExclusive, &path)?;
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("create directory", path)(error)),
            }
        }
    }

    /// The directory, which is empty at first.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be deleted now is when the store is opened again.
        let _ = fs_nar::remove(&self.path);
    }
}

/// Deletes the staging directories of processes that are gone.
pub(super) fn clear_abandoned(layout: &Layout) -> Result<(), StoreError> {
    let failed = || StoreError::io("read directory", &layout.staging);
    let mut entries = fs::read_dir(&layout.staging).map_err(failed())?.peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let all = open_dir(&layout.staging)?;
    if !try_flock(&all, FlockOperation::NonBlockingLockExclusive, &layout.staging)? {
        return Ok(());
    }
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let Ok(directory) = File::open(&path) else { continue };
        if try_flock(&directory, FlockOperation::NonBlockingLockExclusive, &path)? {
            // A build of another user's may have left what only that user can delete; it is in nobody's way.
            let _ = fs_nar::remove(&path);
        }
    }
    Ok(())
}

fn open_dir(path: &Path) -> Result<File, StoreError> {
    File::open(path).map_err(StoreError::io("open directory", path))
}
