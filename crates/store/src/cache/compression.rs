//! Compressed streams of NARs.

use std::io::{self, BufReader, Read, Write};

use nix_formats::narinfo::Compression;

/// The most memory that the window of an xz stream may take, in bytes; `xz -9` needs 65 MiB of it.
const XZ_MEMORY: u64 = 512 * 1024 * 1024;

/// The stream that a compressed one holds. Memory is bounded, whatever the stream asks for.
pub fn decompress<'a>(compression: Compression, stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let stream = BufReader::with_capacity(128 * 1024, stream);
    Ok(match compression {
        Compression::None => Box::new(stream),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Compression::Xz => {
            let decoder = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(stream, decoder))
        }
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(stream)?),
        Compression::Brotli => Box::new(brotli::Decompressor::new(stream, 128 * 1024)),
    })
}

/// The ending that files of a cache have after `.nar`.
pub(super) fn extension(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Bzip2 => ".bz2",
        Compression::Gzip => ".gz",
        Compression::Xz => ".xz",
        Compression::Zstd => ".zst",
        Compression::Brotli => ".br",
    }
}

/// Passes what `write` writes to `out`, compressed, and gives `out` back. The level is the compressor's own; without one
/// its default.
pub(super) fn compress<W: Write, E: From<io::Error>>(
    compression: Compression,
    level: Option<u32>,
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
            let mut encoder =
                bzip2::write::BzEncoder::new(out, level.map_or(bzip2::Compression::best(), bzip2::Compression::new));
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(
                out,
                level.map_or(flate2::Compression::default(), flate2::Compression::new),
            );
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(out, level.unwrap_or(6));
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Zstd => {
            let mut encoder =
                zstd::Encoder::new(out, level.map_or(zstd::DEFAULT_COMPRESSION_LEVEL, |level| level as i32))?;
            write(&mut encoder)?;
            Ok(encoder.finish()?)
        }
        Compression::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(out, 128 * 1024, level.unwrap_or(5), 22);
            write(&mut encoder)?;
            // Only dropping it, which taking the inner writer does, writes the stream's end.
            encoder.flush()?;
            Ok(encoder.into_inner())
        }
    }
}
