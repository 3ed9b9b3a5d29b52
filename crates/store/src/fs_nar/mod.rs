//! File-system trees to and from NAR.
//!
//! [`walk()`] reads a tree with few system calls and gives its nodes, sorted, to a [`TreeSink`]: a NAR ([`NarSink`]),
//! another tree ([`Restorer`]), both at once ([`Tee`]), or whatever the caller needs. [`restore`] does the same from a
//! NAR. What [`Restorer`] writes has canonical metadata from the start; [`canonicalise`] gives it to a tree that a
//! builder wrote: modification time 1, modes 0444 and 0555, no other file types, no setuid bits.

mod canonical;
mod restore;
mod sink;
mod size;
mod walk;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use nix_formats::hash::{Hash, HashAlgo, HashWriter};
use nix_formats::nar::NarError;
use thiserror::Error;

pub(crate) use canonical::TIMESTAMPS;
pub use canonical::{MTIME, canonicalise, remove};
pub use restore::{Restorer, replay};
pub use sink::{NarSink, Tee, TreeSink};
pub use size::nar_size;
pub use walk::walk;

/// The kinds of files that a store object may hold, and the one that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
    /// A socket, a device or a pipe.
    Other,
}

impl FileKind {
    /// The name that Nix's `filterSource` and `readDir` give: `regular`, `directory`, `symlink`, `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Other => "unknown",
        }
    }

    pub(crate) fn of(file_type: rustix::fs::FileType) -> Self {
        match file_type {
            rustix::fs::FileType::RegularFile => Self::Regular,
            rustix::fs::FileType::Directory => Self::Directory,
            rustix::fs::FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a filter returns to stop the walk; it keeps the reason itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterStopped;

/// Decides which entries of the source's directories are taken. Gets the path as the walk names it, below the source
/// path that was given, and the kind; the source itself is not asked for.
pub type Filter<'a> = dyn FnMut(&Path, FileKind) -> Result<bool, FilterStopped> + 'a;

/// A filter that takes everything.
pub fn everything(_: &Path, _: FileKind) -> Result<bool, FilterStopped> {
    Ok(true)
}

/// Why a tree could not be read or written.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A system call failed.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A socket, a device or a pipe.
    #[error(
        "file '{}' has an unsupported type: a store object holds only regular files, directories and symlinks",
        path.display()
    )]
    UnsupportedType {
        /// The file.
        path: PathBuf,
    },
    /// A file where one regular file was asked for.
    #[error("'{}' is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// An entry has a name that the file system does not tell from another one's.
    #[error(
        "cannot create '{}': the file system takes it for another file that is there already, as one does that folds upper and lower \
         case or forms of letters; keep the store on one that does not",
        path.display()
    )]
    Folded {
        /// The entry.
        path: PathBuf,
    },
    /// A file has another size at its end than at its beginning.
    #[error("file '{}' changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The filter stopped the walk.
    #[error("the source filter failed")]
    FilterStopped,
    /// The NAR is malformed, or its stream failed.
    #[error(transparent)]
    Nar(#[from] NarError),
}

/// A stream that a NAR is written to has failed.
impl From<io::Error> for TreeError {
    fn from(error: io::Error) -> Self {
        Self::Nar(NarError::Io(error))
    }
}

impl TreeError {
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}

/// Writes the tree at `source` as a NAR to `out`, and gives `out` back. Needs no buffered writer.
pub fn dump<W: Write>(source: &Path, filter: &mut Filter<'_>, out: W) -> Result<W, TreeError> {
    let mut sink = NarSink::new(io::BufWriter::with_capacity(64 * 1024, out))?;
    walk(source, filter, &mut sink)?;
    sink.finish()?.into_inner().map_err(|error| NarError::Io(error.into_error()).into())
}

/// The hash and the size of the NAR of the tree at `source`.
pub fn hash(source: &Path, filter: &mut Filter<'_>, algo: HashAlgo) -> Result<(Hash, u64), TreeError> {
    let mut sink = NarSink::new(HashWriter::new(algo, io::sink()))?;
    walk(source, filter, &mut sink)?;
    let (hash, size, _) = sink.finish()?.finish();
    Ok((hash, size))
}

/// Writes the tree that the NAR holds to `destination`, which must not exist. Reads no byte beyond the NAR's end.
///
/// Nothing can be written outside of `destination`: each file is created, never opened, relative to a directory that
/// this call has created. After an error the incomplete tree is left; [`remove`] deletes it.
pub fn restore(nar: impl BufRead, destination: &Path) -> Result<(), TreeError> {
    let mut restorer = Restorer::new(destination)?;
    replay(nar, &mut restorer)?;
    restorer.finish()
}

#[cfg(test)]
mod tests;
