//! Directories that must not outlive the process that uses them, whichever way it ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use store::fs_nar;

use crate::error::RuntimeError;

/// A directory that is removed with this. It is held locked, so that the next process can tell what a killed one left.
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes `parent/name`, which must not be in use, after removing what dead processes left in `parent`.
    pub fn new(parent: &Path, name: &str) -> Result<Scratch, RuntimeError> {
        fs::create_dir_all(parent).map_err(RuntimeError::file("create the directory", parent))?;
        remove_abandoned(parent)?;
        let path = parent.join(name);
        loop {
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let problem = format!("the name '{name}' is in use by a running container; choose another");
                    return Err(RuntimeError::Option(problem));
                }
                made => made.map_err(RuntimeError::file("create the directory", &path))?,
            }
            let lock = File::open(&path).map_err(RuntimeError::file("open the directory", &path))?;
            // Somebody who looked before it was locked may have taken it for abandoned, and be removing it.
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if locked && path.exists() {
                return Ok(Scratch { path, _lock: lock });
            }
        }
    }

    /// Makes a directory with a name that no other process uses.
    pub fn unique(parent: &Path) -> Result<Scratch, RuntimeError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Scratch::new(parent, &format!("{}-{number}", std::process::id()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it.
    pub fn directory(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(RuntimeError::file("create the directory", &path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs_nar::remove(&self.path);
    }
}

fn remove_abandoned(parent: &Path) -> Result<(), RuntimeError> {
    for entry in fs::read_dir(parent).map_err(RuntimeError::file("read the directory", parent))? {
        let path = entry.map_err(RuntimeError::file("read the directory", parent))?.path();
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Another user's may be beyond us; it is in nobody's way.
            let _ = fs_nar::remove(&path);
        }
    }
    Ok(())
}
