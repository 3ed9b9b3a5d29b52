//! Compressed streams of NARs.

use std::io::{self, BufReader, Read, Write};

use nix_formats::narinfo::Compression;

/// The stream that a compressed one holds.
pub(super) fn decompress<'a>(compression: Compression, stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let stream = BufReader::with_capacity(128 * 1024, stream);
    Ok(match compression {
        Compression::None => Box::new(stream),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(stream)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(stream)?),
        Compression::Brotli => Box::new(brotli::Decompressor::new(stream, 128 * 1024)),
    })
}

/// Passes what `write` writes to `out`, compressed, and gives `out` back.
pub(super) fn compress<W: Write, E: From<io::Error>>(
    compression: Compression,
    out: W,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<W, E> {
    match compression {
        Compression::None => {
            let mut out = out;
            write(&mut out)?;
            Ok(out)
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(out, bzip2::Compression::best());
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(out, 6);
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(out, 128 * 1024, 5, 22);
            write(&mut encoder)?;
            encoder.flush()?;
            Ok(encoder.into_inner())
        }
    }
}
