//! Open files of a [`super::Filesystem`]: blobs being read, uploads being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::layout::Layout;
use super::{BlobReader, SavedState, UploadFile, UploadId};
use crate::digest::Digest;

/// A blob opened for reading.
pub struct BlobFile {
    file: File,
    size: u64,
}

impl BlobFile {
    pub fn new(file: File) -> io::Result<BlobFile> {
        let size = file.metadata()?.len();
        Ok(BlobFile { file, size })
    }
}

impl BlobReader for BlobFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        read_at(&mut self.file, offset, length)
    }
}

fn read_at(file: &mut File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length);
    file.seek(SeekFrom::Start(offset))?;
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

/// An upload: its bytes in one file, the note about them in another.
pub struct Upload {
    layout: Arc<Layout>,
    path: PathBuf,
    file: File,
    length: u64,
}

impl Upload {
    pub fn create(layout: Arc<Layout>, id: &UploadId) -> io::Result<Upload> {
        let path = layout.upload_path(id);
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
        Ok(Upload { layout, path, file, length: 0 })
    }

    pub fn open(layout: Arc<Layout>, id: &UploadId) -> io::Result<Upload> {
        let path = layout.upload_path(id);
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Upload { layout, path, file, length })
    }
}

/// The note beside the upload at `path`. Its first line is the boot in which it was written.
fn state_path(path: &Path) -> PathBuf {
    path.with_extension("state")
}

impl UploadFile for Upload {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        read_at(&mut self.file, offset, length)
    }

    fn state(&self) -> io::Result<SavedState> {
        let bytes = match fs::read(state_path(&self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let line = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
        let (boot, note) = bytes.split_at(line);
        let same_boot = !boot.is_empty() && boot == self.layout.boot_id.as_bytes();
        Ok(SavedState { note: note.get(1..).unwrap_or_default().to_vec(), same_boot })
    }

    fn save_state(&mut self, state: &[u8]) -> io::Result<()> {
        let path = state_path(&self.path);
        let temporary = self.path.with_extension("state-new");
        let boot = self.layout.boot_id.as_bytes();
        fs::write(&temporary, [boot, b"\n", state].concat())?;
        fs::rename(temporary, path)
    }

    fn commit(self: Box<Self>, digest: &Digest) -> io::Result<()> {
        self.file.sync_data()?;
        self.layout.publish(&self.path, digest)?;
        remove_if_there(&state_path(&self.path))
    }

    fn discard(self: Box<Self>) -> io::Result<()> {
        remove_if_there(&self.path)?;
        remove_if_there(&state_path(&self.path))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes uploads whose bytes are older than `age`, and notes that belong to no upload.
pub fn expire(layout: &Layout, age: Duration) -> io::Result<usize> {
    let mut expired = 0;
    for entry in fs::read_dir(layout.root.join("uploads"))? {
        let path = entry?.path();
        if path.extension().is_some() {
            if !path.with_extension("").exists() {
                remove_if_there(&path)?;
            }
            continue;
        }
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|time| time.elapsed().unwrap_or_default() >= age) {
            remove_if_there(&path)?;
            remove_if_there(&state_path(&path))?;
            expired += 1;
        }
    }
    Ok(expired)
}
