//! Blobs that can be moved: where their bytes come from, and what is known of them before they were read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use image::media::Descriptor;
use image::{Compression, Layer, LayerCache};

use crate::byte_stream::{ByteStream, of_layer, of_reader};

/// A blob that can be read from its beginning, or from where an upload of it broke off.
pub(crate) trait Blob: Send + Sync {
    /// Its bytes without the first `skip`. An error comes as the last item.
    fn open(&self, skip: u64) -> ByteStream;

    /// What it is, if that is known before it was read once.
    fn known(&self) -> Option<Descriptor>;

    /// Its size, which may be known where its digest is not.
    fn size(&self) -> Option<u64> {
        self.known().map(|known| known.size)
    }

    /// Whether it can be opened more than once.
    fn repeats(&self) -> bool {
        true
    }
}

/// A layer of an image, compressed while it is read.
pub(crate) struct LayerBlob<'a> {
    pub layer: &'a Layer,
    pub compression: Compression,
    pub cache: &'a LayerCache,
}

impl Blob for LayerBlob<'_> {
    fn open(&self, skip: u64) -> ByteStream {
        of_layer(self.layer.read_blob(self.compression, self.cache), skip)
    }

    fn known(&self) -> Option<Descriptor> {
        self.layer.known_blob(self.compression, self.cache)
    }
}

/// A part of a file.
pub(crate) struct FileBlob {
    pub path: PathBuf,
    pub offset: u64,
    pub descriptor: Descriptor,
}

impl Blob for FileBlob {
    fn open(&self, skip: u64) -> ByteStream {
        let (path, offset, size) = (self.path.clone(), self.offset, self.descriptor.size);
        of_reader(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset + skip.min(size)))?;
            Ok(file.take(size.saturating_sub(skip)))
        })
    }

    fn known(&self) -> Option<Descriptor> {
        Some(self.descriptor.clone())
    }
}

/// Bytes in memory: a configuration or a manifest.
pub(crate) struct BytesBlob {
    pub bytes: bytes::Bytes,
    pub descriptor: Descriptor,
}

impl BytesBlob {
    pub fn new(media_type: &str, bytes: &[u8]) -> BytesBlob {
        BytesBlob { bytes: bytes::Bytes::copy_from_slice(bytes), descriptor: Descriptor::of(media_type, bytes) }
    }
}

impl Blob for BytesBlob {
    fn open(&self, skip: u64) -> ByteStream {
        let from = usize::try_from(skip).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = self.bytes.slice(from..);
        Box::pin(futures_util::stream::once(async move { Ok(rest) }))
    }

    fn known(&self) -> Option<Descriptor> {
        Some(self.descriptor.clone())
    }
}
