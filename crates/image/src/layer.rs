//! A layer: its digests, and its bytes as often as they are wanted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use nix_formats::store_path::StorePath;

use crate::cache::{Blob, LayerCache};
use crate::compress::{Compression, Encoder};
use crate::digest::{Digest, Hashing};
use crate::error::{ImageError, io_error};
use crate::media::{Descriptor, canonical_json};
use crate::objects::Objects;
use crate::pack::Pack;
use crate::sink::{self, Destination};
use crate::stream::BlobReader;

/// Changes whenever a recipe gives other bytes than it did, so that digests remembered before are not used.
const PACK_FORMAT: &str = "1";

/// One layer of an image. Cheap to clone; holds no file open.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(crate) diff_id: Digest,
    pub(crate) source: Source,
}

/// Where a layer's bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Store objects, packed each time.
    Pack {
        /// What goes into the layer.
        pack: Box<Pack>,
        /// Where the objects are.
        objects: Objects,
        /// The size of the tar stream in bytes.
        size: u64,
    },
    /// A blob that exists, as in a base image: it is passed on as it is unless it is not compressed.
    File {
        /// The file that holds the blob.
        path: PathBuf,
        /// Where in the file the blob begins.
        offset: u64,
        /// Digest, size and media type of the blob.
        descriptor: Descriptor,
        /// How the blob is compressed.
        compression: Compression,
    },
}

impl Layer {
    /// The layer that this recipe gives. It is packed once to learn its digest, unless the cache knows it.
    ///
    /// `content` identifies the content of every store object of the recipe: their NAR hashes, in its order.
    ///
    /// # Errors
    /// The recipe cannot be packed.
    pub(crate) fn from_pack(
        pack: Pack,
        objects: &Objects,
        content: &[String],
        cache: &LayerCache,
        to: Option<Destination<'_>>,
    ) -> Result<Self, ImageError> {
        let key = Digest::of(&canonical_json(&(PACK_FORMAT, &pack, content)));
        let (diff_id, size) = match cache.packed(&key) {
            Some(known) => (known.digest, known.size),
            None => {
                let (digest, size) = sink::pack(&pack, objects, cache, to)?;
                cache.set_packed(&key, &Blob::new(digest, size))?;
                (digest, size)
            }
        };
        Ok(Self { diff_id, source: Source::Pack { pack: Box::new(pack), objects: objects.clone(), size } })
    }

    /// The digest of the tar stream before compression.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// The size of the tar stream before compression, where that is known without reading it.
    pub fn tar_size(&self) -> Option<u64> {
        match &self.source {
            Source::Pack { size, .. } => Some(*size),
            Source::File { compression: Compression::None, descriptor, .. } => Some(descriptor.size),
            Source::File { .. } => None,
        }
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The store objects that the layer holds under `/nix/store`, where that is known: a runtime may mount them
    /// instead of unpacking the layer, and then needs only [`Layer::write_rest`].
    pub fn store_paths(&self) -> &[StorePath] {
        match &self.source {
            // With other modes or owners they are not what the store has.
            Source::Pack { pack, .. } if pack.permissions.is_empty() => &pack.objects,
            Source::Pack { .. } | Source::File { .. } => &[],
        }
    }

    /// Every store object that is known to be in the layer, whatever its modes and owners are there.
    pub fn objects(&self) -> &[StorePath] {
        match &self.source {
            Source::Pack { pack, .. } => &pack.objects,
            Source::File { .. } => &[],
        }
    }

    /// The compression in which the layer is stored elsewhere when `wanted` is asked for: a blob of a base image that
    /// is compressed stays as it is, so that a registry that has it is not sent another.
    pub fn stored_compression(&self, wanted: Compression) -> Compression {
        match &self.source {
            Source::File { compression: Compression::None, .. } | Source::Pack { .. } => wanted,
            Source::File { compression, .. } => *compression,
        }
    }

    /// The descriptor of the layer's blob, if it is known without compressing the layer.
    pub fn known_blob(&self, wanted: Compression, cache: &LayerCache) -> Option<Descriptor> {
        let compression = self.stored_compression(wanted);
        match &self.source {
            Source::File { descriptor, compression: stored, .. } if *stored == compression => Some(descriptor.clone()),
            Source::Pack { size, .. } if compression == Compression::None => {
                Some(Descriptor::new(compression.media_type(), self.diff_id, *size))
            }
            _ => Some(described(compression, cache.compressed(&self.diff_id, compression)?)),
        }
    }

    /// The descriptor of the layer's blob, compressing the layer once if it is not known.
    ///
    /// # Errors
    /// As [`Layer::write_blob`].
    pub fn blob(&self, wanted: Compression, cache: &LayerCache) -> Result<Descriptor, ImageError> {
        match self.known_blob(wanted, cache) {
            Some(descriptor) => Ok(descriptor),
            None => self.write_blob(wanted, cache, io::sink()),
        }
    }

    /// The descriptor of the tar stream without compression, whatever the layer is stored as.
    ///
    /// # Errors
    /// As [`Layer::write_blob`].
    pub(crate) fn tar_blob(&self, cache: &LayerCache) -> Result<Descriptor, ImageError> {
        let known = self.tar_size().or_else(|| Some(cache.compressed(&self.diff_id, Compression::None)?.size));
        let size = match known {
            Some(size) => size,
            None => {
                let (digest, size, _) = self.write_tar(Hashing::new(io::sink()))?.finish();
                cache.set_compressed(&self.diff_id, Compression::None, &Blob::new(digest, size))?;
                size
            }
        };
        Ok(Descriptor::new(Compression::None.media_type(), self.diff_id, size))
    }

    /// Writes the layer's blob, remembers its digest and returns its descriptor.
    ///
    /// # Errors
    /// The layer cannot be read, its bytes are not what they were when the image was built, or the errors of `out`.
    pub fn write_blob(
        &self,
        wanted: Compression,
        cache: &LayerCache,
        out: impl Write,
    ) -> Result<Descriptor, ImageError> {
        let failed = || io_error("cannot write a layer");
        match &self.source {
            Source::File { descriptor, compression, .. }
                if *compression != Compression::None || wanted == Compression::None =>
            {
                let mut out = Hashing::new(out);
                io::copy(&mut self.open_file()?, &mut out).map_err(failed())?;
                let (found, _, mut out) = out.finish();
                out.flush().map_err(failed())?;
                check(descriptor.digest, found)?;
                Ok(descriptor.clone())
            }
            _ => {
                let encoder = Encoder::new(Hashing::new(out), wanted).map_err(failed())?;
                let encoder = self.write_tar(encoder)?;
                let (out, annotations) = encoder.finish_annotated().map_err(failed())?;
                let (digest, size, _) = out.finish();
                let blob = Blob { digest, size, annotations };
                if wanted != Compression::None {
                    cache.set_compressed(&self.diff_id, wanted, &blob)?;
                }
                Ok(described(wanted, blob))
            }
        }
    }

    /// The layer's blob as a stream, made by a thread of its own. Its digest is remembered when the end is reached.
    pub fn read_blob(&self, wanted: Compression, cache: &LayerCache) -> BlobReader {
        let (layer, cache) = (self.clone(), cache.clone());
        BlobReader::spawn(move |out| layer.write_blob(wanted, &cache, out).map(drop))
    }

    /// Writes the layer's tar stream without compression, and gives `out` back.
    ///
    /// # Errors
    /// As [`Layer::write_blob`].
    pub fn write_tar<W: Write>(&self, out: W) -> Result<W, ImageError> {
        let mut out = Hashing::new(out);
        match &self.source {
            Source::Pack { pack, objects, .. } => pack.write(objects, &mut out)?,
            Source::File { .. } => {
                io::copy(&mut self.open_tar()?, &mut out).map_err(io_error("cannot unpack a layer"))?;
            }
        }
        let (found, _, out) = out.finish();
        check(self.diff_id, found)?;
        Ok(out)
    }

    /// Writes the tar stream of what is not in [`Layer::store_paths`], and gives `out` back.
    ///
    /// # Errors
    /// As [`Layer::write_blob`].
    pub fn write_rest<W: Write>(&self, mut out: W) -> Result<W, ImageError> {
        match &self.source {
            Source::Pack { pack, objects, .. } if pack.permissions.is_empty() => {
                pack.write_head(objects, &mut out)?;
                Ok(out)
            }
            Source::Pack { .. } | Source::File { .. } => self.write_tar(out),
        }
    }

    /// The layer's tar stream without compression, made by a thread of its own.
    pub fn read_tar(&self) -> BlobReader {
        let layer = self.clone();
        BlobReader::spawn(move |out| layer.write_tar(out).map(drop))
    }

    fn open_file(&self) -> Result<impl Read + use<>, ImageError> {
        let Source::File { path, offset, descriptor, .. } = &self.source else {
            return Err(ImageError::Definition("a packed layer has no file".to_owned()));
        };
        let failed = || format!("cannot read the layer {}", path.display());
        let mut file = File::open(path).map_err(io_error(failed()))?;
        file.seek(SeekFrom::Start(*offset)).map_err(io_error(failed()))?;
        Ok(file.take(descriptor.size))
    }

    fn open_tar(&self) -> Result<Box<dyn Read>, ImageError> {
        let compression = self.stored_compression(Compression::None);
        compression.decoder(self.open_file()?).map_err(io_error("cannot unpack a layer"))
    }
}

pub(crate) fn described(compression: Compression, blob: Blob) -> Descriptor {
    let descriptor = Descriptor::new(compression.media_type(), blob.digest, blob.size);
    Descriptor { annotations: blob.annotations, ..descriptor }
}

fn check(expected: Digest, found: Digest) -> Result<(), ImageError> {
    if expected == found { Ok(()) } else { Err(ImageError::Changed { expected, found }) }
}
