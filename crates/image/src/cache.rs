//! What packing and compressing a layer gave before, so that it is done once.
//!
//! A file for each answer, named by the hash of what was asked, and written whole or not at all. Losing the directory
//! costs time and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::{ImageError, io_error};

/// Digest and size of a layer, before or after compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The digest of the bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What the blob's descriptor says besides, as where its table of contents is.
    pub annotations: BTreeMap<String, String>,
}

impl Blob {
    /// A blob without annotations.
    pub fn new(digest: Digest, size: u64) -> Self {
        Self { digest, size, annotations: BTreeMap::new() }
    }

    /// The file that remembers it: digest and size, then a line for each annotation.
    fn to_text(&self) -> String {
        let mut text = format!("{} {}\n", self.digest, self.size);
        for (name, value) in &self.annotations {
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n').map(|line| line.split_once(' '));
        let (digest, size) = lines.next()??;
        let annotations = lines.map(|line| line.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Some(Self {
            digest: digest.parse().ok()?,
            size: size.parse().ok()?,
            annotations: annotations.collect::<Option<_>>()?,
        })
    }
}

/// A directory of remembered digests.
#[derive(Clone, Debug)]
pub struct LayerCache {
    directory: PathBuf,
}

impl LayerCache {
    /// Remembers in `directory`, which is made when it is first needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// What the layer with this diff ID is after compression, if that is known.
    pub fn compressed(&self, diff_id: &Digest, compression: Compression) -> Option<Blob> {
        self.read(&compressed_key(diff_id, compression))
    }

    /// Remembers what the layer with this diff ID is after compression.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn set_compressed(&self, diff_id: &Digest, compression: Compression, blob: &Blob) -> Result<(), ImageError> {
        self.write(&compressed_key(diff_id, compression), blob)
    }

    /// The manifest or index that was pushed to a repository last, as `HOST/NAME`.
    pub fn pushed(&self, repository: &str) -> Option<Blob> {
        self.read(&pushed_key(repository))
    }

    /// Remembers what was pushed to a repository.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn set_pushed(&self, repository: &str, manifest: &Blob) -> Result<(), ImageError> {
        self.write(&pushed_key(repository), manifest)
    }

    /// The tar stream that a recipe gave, if it was packed before. The key must hold all that decides the bytes.
    pub(crate) fn packed(&self, key: &Digest) -> Option<Blob> {
        self.read(&format!("pack-{}", key.hex()))
    }

    pub(crate) fn set_packed(&self, key: &Digest, blob: &Blob) -> Result<(), ImageError> {
        self.write(&format!("pack-{}", key.hex()), blob)
    }

    /// A damaged or missing file is an answer that is not known.
    fn read(&self, name: &str) -> Option<Blob> {
        Blob::parse(&fs::read_to_string(self.directory.join(name)).ok()?)
    }

    fn write(&self, name: &str, blob: &Blob) -> Result<(), ImageError> {
        let action = || format!("cannot remember a digest in {}", self.directory.display());
        fs::create_dir_all(&self.directory).map_err(io_error(action()))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(io_error(action()))?;
        file.write_all(blob.to_text().as_bytes()).map_err(io_error(action()))?;
        file.persist(self.directory.join(name)).map_err(|error| io_error(action())(error.error))?;
        Ok(())
    }
}

fn compressed_key(diff_id: &Digest, compression: Compression) -> String {
    format!("{}-{}", compression.identity(), diff_id.hex())
}

fn pushed_key(repository: &str) -> String {
    format!("pushed-{}", Digest::of(repository.as_bytes()).hex())
}
