//! `oci:` as a destination: an OCI layout in a directory, which keeps the other images that it has.

use std::path::Path;

use futures_util::future::BoxFuture;
use image::Digest;
use image::layout::REF_NAME;
use image::media::Descriptor;
use store::progress::Task;

use crate::blob::Blob;
use crate::documents::Document;
use crate::error::Error;
use crate::layout::Layout;
use crate::transport::{Abilities, Destination};

/// A layout that gets one more image.
pub(crate) struct LayoutDestination {
    layout: Layout,
    name: Option<String>,
}

impl LayoutDestination {
    /// Prepares the directory.
    pub fn open(path: &Path, name: Option<&str>) -> Result<LayoutDestination, Error> {
        Ok(LayoutDestination { layout: Layout::extend(path)?, name: name.map(str::to_owned) })
    }
}

impl Destination for LayoutDestination {
    fn abilities(&self) -> Abilities {
        Abilities { indexes: true, digests: true, parallel: 6 }
    }

    fn current(&self) -> BoxFuture<'_, Result<Option<Digest>, Error>> {
        Box::pin(async {
            let index = self.layout.index()?;
            let entry = index.manifests.iter().find(|entry| entry.annotations.get(REF_NAME) == self.name.as_ref());
            Ok(entry.map(|entry| entry.digest))
        })
    }

    fn has(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        // A blob has its name only after its digest was checked.
        Box::pin(async move { Ok(self.layout.blob_path(&digest).is_file()) })
    }

    fn put<'a>(&'a self, blob: &'a dyn Blob, task: &'a Task<'_>) -> BoxFuture<'a, Result<Descriptor, Error>> {
        Box::pin(async {
            let (digest, size) = self.layout.receive(blob, "its source", task).await?;
            // The media type of a blob that was compressed on the way is known now.
            Ok(blob.known().unwrap_or_else(|| Descriptor::new(image::Compression::None.media_type(), digest, size)))
        })
    }

    fn put_document<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { self.layout.write_blob(&document.bytes) })
    }

    fn finish<'a>(&'a self, root: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            self.layout.write_blob(&root.bytes)?;
            let name = self.name.as_deref();
            let (name, tag) = match name.and_then(|name| name.rsplit_once(':')) {
                Some((name, tag)) if name.contains('/') => (Some(name), Some(tag)),
                _ => (None, name),
            };
            self.layout.finish(root.descriptor(), name, tag)
        })
    }

    fn abandon(&self) -> BoxFuture<'_, ()> {
        self.layout.abandon();
        Box::pin(async {})
    }
}
