//! Writing an OCI image layout: a directory of blobs named by digest, with an index. The same content gives the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use image::Digest;
use image::layout::{IMAGE_NAME, REF_NAME};
use image::media::{self, Descriptor, Index, canonical_json};

use crate::error::{Error, io_error};

/// A layout in the making.
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Starts a layout in `directory`, which must not exist.
    pub fn create(directory: &Path) -> Result<Layout, Error> {
        fs::create_dir(directory).map_err(io_error("create", directory))?;
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io_error("create", &blobs))?;
        Ok(Layout { directory: directory.to_owned() })
    }

    /// Where a blob belongs.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    /// Writes a blob that is in memory.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<(), Error> {
        self.write(&self.blob_path(&Digest::of(bytes)), bytes)
    }

    /// Finishes the layout with one manifest, under `name:tag` if given.
    pub fn finish(&self, mut manifest: Descriptor, name: Option<(&str, &str)>) -> Result<(), Error> {
        if let Some((name, tag)) = name {
            manifest.annotations.insert(IMAGE_NAME.to_owned(), format!("{name}:{tag}"));
            manifest.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: vec![manifest],
            annotations: BTreeMap::new(),
        };
        self.write(&self.directory.join("index.json"), &canonical_json(&index))?;
        self.write(&self.directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = File::create(path).map_err(io_error("create", path))?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(io_error("write", path))
    }

    /// Removes everything, after an error that matters more than a failure to do so.
    pub fn abandon(self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
