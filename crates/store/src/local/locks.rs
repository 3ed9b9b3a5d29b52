//! Locks on store paths, by Nix's protocol: a file `<path>.lock` beside the object, locked with flock(2).
//!
//! A lock file is deleted by its holder, who writes a byte to it first, so that a waiter that gets the lock on a
//! deleted file knows to start over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::layout::{Layout, open_lock_file};
use crate::StoreError;

/// Locked store paths; dropping it unlocks them.
pub struct PathLocks {
    held: Vec<(PathBuf, File)>,
    paths: BTreeSet<StorePath>,
}

impl PathLocks {
    /// Locks in sorted order, so that two processes cannot wait for each other. `None` only if `wait` is false.
    pub(super) fn acquire(layout: &Layout, paths: &[StorePath], wait: bool) -> Result<Option<Self>, StoreError> {
        let mut locks = Self { held: Vec::new(), paths: paths.iter().cloned().collect() };
        for path in &locks.paths {
            let mut file = layout.real_path(path).into_os_string();
            file.push(".lock");
            let file = PathBuf::from(file);
            match lock_file(&file, wait)? {
                Some(lock) => locks.held.push((file, lock)),
                None => return Ok(None),
            }
        }
        Ok(Some(locks))
    }

    /// Is this path among them?
    pub fn hold(&self, path: &StorePath) -> bool {
        self.paths.contains(path)
    }
}

impl Drop for PathLocks {
    fn drop(&mut self) {
        for (path, file) in &mut self.held {
            // Deleting is tidiness, not necessity, so failing to is no error.
            if fs::remove_file(path).is_ok() {
                let _ = file.write_all(b"d");
            }
        }
    }
}

fn lock_file(path: &Path, wait: bool) -> Result<Option<File>, StoreError> {
    loop {
        let file = open_lock_file(path)?;
        if !try_flock(&file, FlockOperation::NonBlockingLockExclusive, path)? {
            if !wait {
                return Ok(None);
            }
            try_flock(&file, FlockOperation::LockExclusive, path)?;
        }
        let metadata = file.metadata().map_err(StoreError::io("read", path))?;
        if metadata.len() == 0 {
            return Ok(Some(file));
        }
    }
}

/// `false` if the lock is held by another and the operation does not wait.
pub(super) fn try_flock(file: &File, operation: FlockOperation, path: &Path) -> Result<bool, StoreError> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(StoreError::io("lock", path)(error)),
        }
    }
}
