//! What a local tree looks like, found out without reading its files: as long as that stays the same, so does the tree.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix_formats::flake_ref::{FlakeRef, Scheme};
use nix_formats::hash::{HashAlgo, Hasher};
use serde::{Deserialize, Serialize};

use crate::{FetchError, Fetcher};

/// The look of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeState {
    /// Stands for names, kinds, sizes, times, inodes, and for git the commit.
    pub digest: String,
    /// The latest time at which a file changed, in seconds since 1970. A file that changes again within the same tick of
    /// the clock may look the same, so a tree this young must be read again. 0 where times do not matter.
    pub newest: i64,
}

impl Fetcher {
    /// The look of the tree that a reference means, if that is on this machine and not pinned.
    pub fn state(&self, reference: &FlakeRef) -> Result<Option<TreeState>, FetchError> {
        match reference.scheme() {
            Scheme::Path => {
                let path = PathBuf::from(reference.text("path").unwrap_or_default());
                let mut look = Look::default();
                look.tree(&path)?;
                Ok(Some(look.finish()))
            }
            Scheme::Git => self.git_state(reference),
            _ => Ok(None),
        }
    }
}

/// Collects what is seen.
pub(crate) struct Look {
    hasher: Hasher,
    newest: i64,
}

impl Default for Look {
    fn default() -> Self {
        Self { hasher: Hasher::new(HashAlgo::Sha256), newest: 0 }
    }
}

impl Look {
    /// Adds a text.
    pub(crate) fn note(&mut self, text: &[u8]) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text);
    }

    /// Adds a file; of a directory not its entries. One that is not there is noted as such.
    pub(crate) fn file(&mut self, path: &Path) -> Result<Option<fs::Metadata>, FetchError> {
        self.note(path.as_os_str().as_bytes());
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.note(b"absent");
                return Ok(None);
            }
            Err(error) => return Err(FetchError::io("read", path)(error)),
        };
        let numbers = [
            i64::from(metadata.mode()),
            metadata.size() as i64,
            metadata.ino() as i64,
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ];
        numbers.iter().for_each(|number| self.hasher.update(&number.to_le_bytes()));
        self.newest = self.newest.max(metadata.mtime()).max(metadata.ctime());
        Ok(Some(metadata))
    }

    fn tree(&mut self, path: &Path) -> Result<(), FetchError> {
        if !self.file(path)?.is_some_and(|metadata| metadata.is_dir()) {
            return Ok(());
        }
        let entries = fs::read_dir(path).map_err(FetchError::io("read directory", path))?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(FetchError::io("read directory", path))?;
        names.sort();
        names.iter().try_for_each(|name| self.tree(name))
    }

    pub(crate) fn finish(self) -> TreeState {
        TreeState { digest: self.hasher.finish().to_hex(), newest: self.newest }
    }
}
