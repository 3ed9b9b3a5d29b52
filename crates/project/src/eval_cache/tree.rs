//! The look of a source tree that was copied into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use eval::FileType;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// The look of a tree. Paths in it are relative to its root, which is the empty path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TreeLook {
    /// Stands for the names and kinds of everything in it, what a filter refused included.
    pub(super) structure: String,
    /// Stands for the stamps of what was taken.
    pub(super) stamps: String,
    /// The newest of the stamps.
    pub(super) newest: i64,
}

/// What was seen of one path.
enum Seen {
    Refused(FileType),
    Taken(FileType, Option<Stamp>),
}

/// Collects the look of a tree.
#[derive(Default)]
pub(super) struct Looking {
    seen: BTreeMap<PathBuf, Seen>,
}

impl Looking {
    /// Notes a path that is taken, as it looked before its content is read.
    pub(super) fn take(&mut self, relative: &Path, metadata: &Metadata, kind: FileType) {
        // The times of a directory say nothing that its entries do not, and change with those that are refused.
        let stamp = (kind != FileType::Directory).then(|| Stamp::of(metadata));
        self.seen.insert(relative.to_owned(), Seen::Taken(kind, stamp));
    }

    /// Notes a path that is left out.
    pub(super) fn refuse(&mut self, relative: &Path, kind: FileType) {
        self.seen.insert(relative.to_owned(), Seen::Refused(kind));
    }

    /// Looks at a whole tree but for some of its paths.
    pub(super) fn walk(&mut self, real: &Path, relative: &Path, refused: &BTreeSet<PathBuf>) -> io::Result<()> {
        let metadata = real.symlink_metadata()?;
        let kind = kind_of(metadata.file_type());
        if refused.contains(relative) {
            self.refuse(relative, kind);
            return Ok(());
        }
        self.take(relative, &metadata, kind);
        if kind == FileType::Directory {
            for entry in real.read_dir()? {
                let name = entry?.file_name();
                self.walk(&real.join(&name), &relative.join(&name), refused)?;
            }
        }
        Ok(())
    }

    /// The paths that are left out.
    pub(super) fn refused(&self) -> BTreeSet<PathBuf> {
        let refused = self.seen.iter().filter(|(_, seen)| matches!(seen, Seen::Refused(_)));
        refused.map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn finish(&self) -> TreeLook {
        let (mut structure, mut stamps, mut newest) = (blake3::Hasher::new(), blake3::Hasher::new(), 0);
        for (path, seen) in &self.seen {
            let (mark, kind) = match seen {
                Seen::Refused(kind) => (b'-', kind),
                Seen::Taken(kind, _) => (b'+', kind),
            };
            structure.update(path.as_os_str().as_bytes());
            structure.update(&[0, mark]);
            structure.update(kind.name().as_bytes());
            if let Seen::Taken(_, Some(stamp)) = seen {
                stamps.update(&stamp.bytes());
                newest = newest.max(stamp.newest());
            }
        }
        TreeLook { structure: hex(&structure), stamps: hex(&stamps), newest }
    }
}

fn hex(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex().to_string()
}

fn kind_of(kind: std::fs::FileType) -> FileType {
    match () {
        () if kind.is_file() => FileType::Regular,
        () if kind.is_dir() => FileType::Directory,
        () if kind.is_symlink() => FileType::Symlink,
        () => FileType::Unknown,
    }
}
