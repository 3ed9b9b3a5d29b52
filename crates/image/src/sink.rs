//! Where layers go while they are packed for the first time.

use std::io::{self, Write};

use crate::cache::{Blob, LayerCache};
use crate::compress::{Compression, Encoder};
use crate::digest::{Digest, Hashing};
use crate::error::{ImageError, io_error};
use crate::layer::described;
use crate::media::Descriptor;
use crate::objects::Objects;
use crate::pack::Pack;

/// Takes the blobs of layers when they are packed for the first time, to learn their digests: then what they are packed of is
/// read, hashed and compressed once. Nothing depends on what a sink does with them.
pub trait LayerSink: Send + Sync {
    /// How the blobs are to be compressed.
    fn compression(&self) -> Compression;

    /// Begins a blob of the image that has this name. Dropping it gives the blob up.
    fn begin(&self, image: &str) -> Box<dyn SinkBlob + '_>;
}

/// A blob on its way. A sink that cannot take more takes the bytes all the same.
pub trait SinkBlob: Write {
    /// Ends the blob, which was this one.
    fn finish(self: Box<Self>, blob: &Descriptor);
}

/// A sink, and the image whose layers it takes.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub sink: &'a dyn LayerSink,
    pub image: &'a str,
}

/// Packs a layer, to nowhere or also to where its blob is wanted; the digest and size of the tar stream.
pub(crate) fn pack(
    pack: &Pack,
    objects: &Objects,
    cache: &LayerCache,
    to: Option<Destination<'_>>,
) -> Result<(Digest, u64), ImageError> {
    let Some(Destination { sink, image }) = to else {
        let mut out = Hashing::new(io::sink());
        pack.write(objects, &mut out)?;
        let (digest, size, _) = out.finish();
        return Ok((digest, size));
    };
    let failed = || io_error("cannot compress a layer");
    let compression = sink.compression();
    let encoder = Encoder::new(Hashing::new(sink.begin(image)), compression).map_err(failed())?;
    let mut out = Hashing::new(encoder);
    pack.write(objects, &mut out)?;
    let (diff_id, tar_size, encoder) = out.finish();
    let (out, annotations) = encoder.finish_annotated().map_err(failed())?;
    let (digest, size, out) = out.finish();
    let blob = Blob { digest, size, annotations };
    if compression != Compression::None {
        cache.set_compressed(&diff_id, compression, &blob)?;
    }
    out.finish(&described(compression, blob));
    Ok((diff_id, tar_size))
}
