//! Where a [`super::Filesystem`] puts blobs and uploads, and how a file becomes a blob.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::UploadId;
use super::ordered::{make_directory, sync};
use crate::digest::Digest;

/// The paths under a storage directory.
pub struct Layout {
    pub root: PathBuf,
    /// The kernel's name for the time since the machine was started.
    pub boot_id: String,
}

impl Layout {
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs").join(digest.algorithm().as_str()).join(&hex[..2]).join(hex)
    }

    pub fn upload_path(&self, id: &UploadId) -> PathBuf {
        self.root.join("uploads").join(id.as_str())
    }

    /// Writes `bytes` under a temporary name, synced.
    pub fn write_temporary(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.root.join("temporary").join(UploadId::random().as_str());
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if let Err(error) = written {
            fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(path)
    }

    /// Gives the synced file `from` the name of a blob; if the blob is there already, drops the new copy.
    pub fn publish(&self, from: &Path, digest: &Digest) -> io::Result<()> {
        if self.touch(digest)? {
            return fs::remove_file(from);
        }
        let path = self.blob_path(digest);
        let parent = path.parent().unwrap_or(&self.root);
        make_directory(parent)?;
        fs::rename(from, &path)?;
        sync(parent)
    }

    /// Marks a blob as wanted now, so that a collection running beside does not take it; false if it is not here.
    pub fn touch(&self, digest: &Digest) -> io::Result<bool> {
        let now = SystemTime::now();
        match File::open(self.blob_path(digest)) {
            Ok(file) => file.set_modified(now).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
