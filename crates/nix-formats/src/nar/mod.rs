//! NAR, Nix's archive of a file-system object: files with one permission bit, directories in byte order, symlinks.
//!
//! [`Reader`] and [`Writer`] are streaming: neither holds a whole file. What is written to a disk, and how, is the
//! business of the `store` crate. The format is that of `libutil/archive.cc` in C++ Nix; the reader is strict about
//! order, padding and names, for NARs come from strangers.

mod reader;
mod writer;

use std::io;

use thiserror::Error;

pub use reader::{Content, Event, Reader};
pub use writer::Writer;

/// The first token of every NAR.
const MAGIC: &[u8] = b"nix-archive-1";

/// Directories may nest this deep: a path below the store cannot have more components.
pub const MAX_DEPTH: usize = 2048;
/// Longest name of a directory entry, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest target of a symlink, in bytes.
pub const MAX_TARGET: usize = 4095;

/// Why a NAR cannot be read or written.
#[derive(Debug, Error)]
pub enum NarError {
    /// The stream below failed.
    #[error("cannot read or write the NAR: {0}")]
    Io(#[from] io::Error),
    /// The stream ends inside the archive.
    #[error("the NAR ends too early, at byte {offset}")]
    Truncated {
        /// Bytes read so far.
        offset: u64,
    },
    /// The bytes are no NAR.
    #[error("the NAR is malformed at byte {offset}: {reason}")]
    Malformed {
        /// Bytes read so far.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The caller asked for something that gives no valid NAR.
    #[error("cannot write this NAR: {reason}")]
    Misuse {
        /// What is wrong.
        reason: String,
    },
}

/// What is wrong with the name of a directory entry, if anything is: a name that is accepted is one path component.
pub fn name_problem(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("an entry's name is empty"),
        b"." | b".." => Some("an entry is called '.' or '..'"),
        _ if name.len() > MAX_NAME => Some("an entry's name is longer than 255 bytes"),
        _ if name.contains(&b'/') || name.contains(&0) => Some("an entry's name contains '/' or a zero byte"),
        _ => None,
    }
}

/// What is wrong with the target of a symlink, if anything is.
fn target_problem(target: &[u8]) -> Option<&'static str> {
    match target {
        b"" => Some("a symlink's target is empty"),
        _ if target.len() > MAX_TARGET => Some("a symlink's target is longer than 4095 bytes"),
        _ if target.contains(&0) => Some("a symlink's target contains a zero byte"),
        _ => None,
    }
}

/// How many zero bytes follow a string of `len` bytes.
const fn padding(len: u64) -> usize {
    (len.wrapping_neg() % 8) as usize
}
