//! Tar streams, byte for byte as Python's `tarfile` (PAX) and GNU tar write them.
//!
//! nixpkgs packs store layers with the former and customisation layers with the latter; equal bytes mean equal
//! digests, so that a registry that has a layer from nixpkgs' scripts is not sent it again.

use std::io::{self, Read, Seek, SeekFrom};

mod header;
mod writer;

pub(crate) use header::size_of;
pub use header::{Dialect, Entry, Kind};
pub use writer::{Member, TarWriter};

/// The unit of a tar stream.
pub const BLOCK: usize = 512;

/// The length of the members of a tar stream: where the zero blocks begin that end it.
///
/// # Errors
/// The stream ends before them, a size is no number, or the reader's errors.
pub fn members_length(mut stream: impl Read + Seek) -> io::Result<u64> {
    let mut block = [0; BLOCK];
    let mut position = 0;
    loop {
        stream.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(position);
        }
        let size = size_of(&block)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a member's size is no number"))?;
        position += BLOCK as u64 + size.next_multiple_of(BLOCK as u64);
        stream.seek(SeekFrom::Start(position))?;
    }
}
