//! Writing an OCI image layout: a directory of blobs named by digest, with an index. The same content gives the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt;
use image::layout::{IMAGE_NAME, REF_NAME};
use image::media::{self, Descriptor, Index, canonical_json};
use image::{Digest, Hashing};
use store::progress::Task;

use crate::blob::Blob;
use crate::byte_stream::{ByteStream, unwrapped};
use crate::error::{Error, io_error};

/// How much is gathered before it is hashed and written on a blocking thread.
const BATCH: usize = 1 << 20;
/// No index of a layout is larger.
const INDEX_LIMIT: u64 = 16 << 20;

/// A layout that images are written to.
pub(crate) struct Layout {
    directory: PathBuf,
    /// Whether the directory was not there before.
    is_new: bool,
}

impl Layout {
    /// Starts a layout in `directory`, which must not exist.
    pub fn create(directory: &Path) -> Result<Layout, Error> {
        fs::create_dir(directory).map_err(io_error("create", directory))?;
        Layout::prepare(directory, true)
    }

    /// Goes on with the layout in `directory`, or starts one if there is nothing or an empty directory.
    pub fn extend(directory: &Path) -> Result<Layout, Error> {
        let is_new = !directory.exists();
        let foreign = !is_new
            && !directory.join("oci-layout").is_file()
            && fs::read_dir(directory).map_err(io_error("read", directory))?.next().is_some();
        if foreign {
            let what = directory.display().to_string();
            return Err(Error::Unusable { what, reason: "it is there, and is no OCI layout".to_owned() });
        }
        Layout::prepare(directory, is_new)
    }

    fn prepare(directory: &Path, is_new: bool) -> Result<Layout, Error> {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io_error("create", &blobs))?;
        Ok(Layout { directory: directory.to_owned(), is_new })
    }

    /// Where a blob belongs.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    /// Writes a blob that is in memory.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<(), Error> {
        self.write(&self.blob_path(&Digest::of(bytes)), bytes)
    }

    /// Writes a blob as it comes; it exists only when its digest is right. Gives its digest and size.
    pub async fn receive(&self, blob: &dyn Blob, from: &str, task: &Task<'_>) -> Result<(Digest, u64), Error> {
        let directory = self.directory.join("blobs/sha256");
        // It goes away with its name, also where nobody waits for this any more.
        let partial = tempfile::Builder::new()
            .prefix(".partial-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&directory)
            .map_err(io_error("write into", &directory))?;
        let (file, path) = partial.into_parts();
        let found = fill(file, &path, blob.open(0), task).await?;
        if let Some(known) = blob.known().filter(|known| known.digest != found.0) {
            let (expected, found) = (known.digest.to_string(), found.0.to_string());
            return Err(Error::Corrupt { what: "a blob".to_owned(), registry: from.to_owned(), expected, found });
        }
        let place = self.blob_path(&found.0);
        path.persist(&place).map_err(|error| io_error("finish", &place)(error.error))?;
        Ok(found)
    }

    /// The manifests that the layout has.
    pub fn index(&self) -> Result<Index, Error> {
        let path = self.directory.join("index.json");
        let empty = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        };
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let unusable = |reason: String| Error::Unusable { what: path.display().to_string(), reason };
        if size > INDEX_LIMIT {
            return Err(unusable("it is too large".to_owned()));
        }
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
    }

    /// Adds a manifest, under `name:tag` if given, in place of another of that tag. It is the last thing that is written,
    /// so that an interrupted copy leaves the layout as it was.
    pub fn finish(&self, mut manifest: Descriptor, name: Option<&str>, tag: Option<&str>) -> Result<(), Error> {
        if let (Some(name), Some(tag)) = (name, tag) {
            manifest.annotations.insert(IMAGE_NAME.to_owned(), format!("{name}:{tag}"));
        }
        manifest.annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
        let mut index = self.index()?;
        index.manifests.retain(|entry| entry.annotations.get(REF_NAME) != manifest.annotations.get(REF_NAME));
        index.manifests.push(manifest);
        self.write(&self.directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.write(&self.directory.join("index.json"), &canonical_json(&index))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        let mut file = File::create(&partial).map_err(io_error("create", &partial))?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(io_error("write", &partial))?;
        fs::rename(&partial, path).map_err(io_error("finish", path))
    }

    /// Removes everything that was not there before, after an error that matters more than a failure to do so.
    pub fn abandon(&self) {
        if self.is_new {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Writes what comes into a file.
async fn fill(file: File, path: &Path, mut bytes: ByteStream, task: &Task<'_>) -> Result<(Digest, u64), Error> {
    let mut out = Hashing::new(file);
    loop {
        let (mut batch, mut size, mut ended) = (Vec::new(), 0, false);
        while size < BATCH && !ended {
            match bytes.next().await {
                Some(piece) => {
                    let piece = piece.map_err(|error| unwrapped(error, "a blob"))?;
                    size += piece.len();
                    batch.push(piece);
                }
                None => ended = true,
            }
        }
        let appended = tokio::task::spawn_blocking(move || append(out, &batch)).await;
        out = appended.map_err(io::Error::other).flatten().map_err(io_error("write", path))?;
        task.advance(size as u64);
        if ended {
            break;
        }
    }
    let (digest, length, file) = out.finish();
    file.sync_data().map_err(io_error("write", path))?;
    Ok((digest, length))
}

fn append(mut out: Hashing<File>, batch: &[Bytes]) -> io::Result<Hashing<File>> {
    batch.iter().try_for_each(|piece| out.write_all(piece))?;
    Ok(out)
}
