//! Temporary roots, by Nix's protocol: a file for each process that it holds locked, with the paths that it needs.
//!
//! A path is recorded while the collector's lock is held shared, so a collection either sees it or has not begun. If
//! a collection of Nix's is running, it is told by its socket.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix_formats::store_path::StorePath;
use rustix::fs::FlockOperation;

use super::layout::{Layout, create_dir, open_lock_file};
use super::locks::try_flock;
use crate::StoreError;

/// How long to wait before looking again whether a collection has ended.
const RETRY: Duration = Duration::from_millis(20);

pub(super) struct TempRoots {
    directory: PathBuf,
    gc_lock: PathBuf,
    gc_socket: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    recorded: HashSet<StorePath>,
    open: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: File,
    gc_lock: File,
}

impl TempRoots {
    pub fn new(layout: &Layout) -> Self {
        Self {
            directory: layout.temp_roots.clone(),
            gc_lock: layout.gc_lock.clone(),
            gc_socket: layout.gc_socket.clone(),
            state: Mutex::default(),
        }
    }

    /// Keeps the paths from being collected while the store is open.
    pub fn add(&self, paths: &[StorePath]) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { recorded, open } = &mut *state;
        let mut new: Vec<&StorePath> = paths.iter().filter(|path| !recorded.contains(*path)).collect();
        if new.is_empty() {
            return Ok(());
        }
        if open.is_none() {
            *open = Some(self.open()?);
        }
        if let Some(open) = open {
            let lines: Vec<u8> = new.iter().flat_map(|path| (path.to_absolute() + "\0").into_bytes()).collect();
            while !try_flock(&open.gc_lock, FlockOperation::NonBlockingLockShared, &self.gc_lock)? {
                // What it has been told of, it need not be told of again.
                while let Some(path) = new.pop_if(|path| self.tell_collector(path)) {
                    recorded.insert(path.clone());
                }
                if new.is_empty() {
                    break;
                }
                std::thread::sleep(RETRY);
            }
            let written = open.file.write_all(&lines).map_err(StoreError::io("write", &open.path));
            try_flock(&open.gc_lock, FlockOperation::Unlock, &self.gc_lock)?;
            written?;
        }
        recorded.extend(paths.iter().cloned());
        Ok(())
    }

    /// Tells a running collection of the path; `false` if it does not answer, for it may have ended.
    fn tell_collector(&self, path: &StorePath) -> bool {
        let told = || {
            let mut socket = UnixStream::connect(&self.gc_socket)?;
            socket.write_all(format!("{path}\n").as_bytes())?;
            let mut answer = [0];
            socket.read_exact(&mut answer)?;
            Ok::<_, std::io::Error>(answer == *b"1")
        };
        told().unwrap_or(false)
    }

    /// Makes this process's file. The number after the process's own keeps processes of several pid namespaces, and
    /// several open stores of one process, apart.
    fn open(&self) -> Result<Open, StoreError> {
        create_dir(&self.directory)?;
        let gc_lock = open_lock_file(&self.gc_lock)?;
        let mut number = 0_u32;
        loop {
            let path = self.directory.join(format!("{}.{number}", std::process::id()));
            number += 1;
            let opened = fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
            let file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::io("create", path)(error)),
            };
            // A collector may have found the file before it was locked, and deleted it with a byte in it.
            if try_flock(&file, FlockOperation::NonBlockingLockExclusive, &path)?
                && file.metadata().is_ok_and(|metadata| metadata.len() == 0)
            {
                return Ok(Open { path, file, gc_lock });
            }
        }
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        if let Some(open) = &self.state.get_mut().unwrap_or_else(PoisonError::into_inner).open {
            let _ = fs::remove_file(&open.path);
        }
    }
}
