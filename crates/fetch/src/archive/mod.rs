//! Archives → trees: zip, and tar, plain or compressed by gzip, xz, bzip2 or Zstandard, told by their first bytes.
//!
//! An archive may come from anyone. It is unpacked into a new directory that nobody else writes to, and of everything
//! there is noted what it is, so that no entry goes through a symlink or out of the directory. What unpacks to a size that
//! no archive of sources has ends early.

mod bounds;
mod place;
mod tape;
mod zip;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

use bounds::{Counter, Taken};
use place::Unpacking;

/// Unpacks an archive into `destination`, which must not exist, and returns the latest modification time in it, in
/// seconds since 1970.
///
/// # Errors
/// A sentence without the archive's name.
pub fn unpack(archive: impl Read, destination: &Path) -> Result<u64, String> {
    fs::create_dir(destination).map_err(|error| format!("cannot create '{}': {error}", destination.display()))?;
    let taken = Counter::default();
    let mut stream = BufReader::with_capacity(128 * 1024, Taken { inner: archive, counter: taken.clone() });
    let mut unpacking = Unpacking::new(destination, taken);
    let start = stream.fill_buf().map_err(|error| error.to_string())?;
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        zip::unpack(stream, &mut unpacking)?;
    } else {
        tape::unpack(decompress(stream).map_err(|error| error.to_string())?, &mut unpacking)?;
    }
    Ok(unpacking.newest)
}

/// The tree in an unpacked archive: its only directory if there is nothing beside it, as forges make archives.
pub(crate) fn only_directory(unpacked: PathBuf) -> Result<PathBuf, io::Error> {
    let mut entries = fs::read_dir(&unpacked)?;
    match (entries.next().transpose()?, entries.next()) {
        (Some(only), None) if only.file_type()?.is_dir() => Ok(only.path()),
        _ => Ok(unpacked),
    }
}

fn decompress<'a>(mut stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = stream.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(stream)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzDecoder::new_multi_decoder(stream)),
        [b'B', b'Z', b'h', ..] => Box::new(MultiBzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(stream)?),
        _ => Box::new(stream),
    })
}
