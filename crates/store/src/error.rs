//! Errors of stores.

use std::io;
use std::path::{Path, PathBuf};

use nix_formats::content_address::ContentAddressError;
use nix_formats::derivation::ParseError;
use nix_formats::hash::Hash;
use nix_formats::nar::NarError;
use nix_formats::store_path::{StorePath, StorePathError};
use nix_formats::worker::WireError;
use thiserror::Error;

use crate::fs_nar::TreeError;
use crate::local::trouble;

/// Why a store could not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The store's file system failed.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried, as `create directory`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store's database failed.
    #[error("the store database '{}' {}", path.display(), trouble::describe(path, source))]
    Database {
        /// The database's file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The database holds what Nix would not have written.
    #[error("the store database is damaged: {what}; to see all that is, and to forget it: wharf store verify --repair")]
    Corrupt {
        /// What is wrong with it.
        what: String,
    },
    /// The store was made by a newer, or a very old, Nix.
    #[error("the store in '{}' {}", root.display(), of_schema(root, found))]
    Schema {
        /// The store's root.
        root: PathBuf,
        /// The version found.
        found: String,
    },
    /// The store cannot be read or written by this user.
    #[error(
        "the store in '{}' cannot be used: {source}; it is another user's, on a disk that is read-only, or no directory: choose \
         another one with --store or WHARF_HOME", root.display()
    )]
    Unusable {
        /// The store's root.
        root: PathBuf,
        /// What failed.
        source: Box<StoreError>,
    },
    /// The directory of the objects is gone, and their database is not.
    #[error(
        "the store in '{0}' has lost its directory 'nix/store'; put it back, or begin without what was in it: \
         mkdir '{0}/nix/store' && wharf --store '{0}' store verify --repair", root.display()
    )]
    NoObjects {
        /// The store's root.
        root: PathBuf,
    },
    /// The object is not in the store.
    #[error("path '{path}' is not valid: it is not in the store")]
    NotValid {
        /// The path asked for.
        path: StorePath,
    },
    /// A reference of an object that is to be registered is not in the store.
    #[error("cannot register '{path}': it refers to '{reference}', which is not in the store")]
    MissingReference {
        /// The object.
        path: StorePath,
        /// What it refers to.
        reference: StorePath,
    },
    /// What arrived is not what was announced.
    #[error("hash mismatch in '{path}': specified {expected}, got {actual}")]
    HashMismatch {
        /// The object.
        path: StorePath,
        /// The hash it should have.
        expected: Box<Hash>,
        /// The hash it has.
        actual: Box<Hash>,
    },
    /// What arrived has another size than announced.
    #[error("size mismatch in '{path}': specified {expected} bytes, got {actual}")]
    SizeMismatch {
        /// The object.
        path: StorePath,
        /// The size of the NAR that it should have, in bytes.
        expected: u64,
        /// The size it has.
        actual: u64,
    },
    /// What arrives does not end where it was announced to.
    #[error("size mismatch in '{path}': it has more than the specified {expected} bytes")]
    TooLarge {
        /// The object.
        path: StorePath,
        /// The size of the NAR that it should have, in bytes.
        expected: u64,
    },
    /// A path and a content address that do not go together.
    #[error("path '{path}' does not follow from its content address, which gives '{computed}'")]
    WrongContentAddress {
        /// The path as given.
        path: StorePath,
        /// The path that the content address gives.
        computed: StorePath,
    },
    /// A way of addressing by content that this store cannot compute.
    #[error("cannot add '{name}': hashing by the method '{method}' is not supported")]
    UnsupportedMethod {
        /// The object's name.
        name: String,
        /// The method.
        method: &'static str,
    },
    /// What a store sends for an object is no archive.
    #[error("{from} sends no archive of '{path}': {source}")]
    BadArchive {
        /// The store.
        from: String,
        /// The object.
        path: StorePath,
        /// What is wrong with it.
        source: NarError,
    },
    /// A tree cannot be read or written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name is not fit for a store path.
    #[error(transparent)]
    Name(#[from] StorePathError),
    /// A content address gives no path.
    #[error(transparent)]
    ContentAddress(#[from] ContentAddressError),
    /// A `.drv` file cannot be parsed.
    #[error(transparent)]
    Derivation(#[from] ParseError),
    /// An object cannot be deleted because others, or a root, need it.
    #[error("cannot delete '{path}': {needed_by} needs it")]
    InUse {
        /// The object.
        path: StorePath,
        /// A referrer or a root.
        needed_by: String,
    },
    /// A Nix daemon has failed to do what was asked.
    #[error("the Nix daemon at '{address}' says: {message}")]
    DaemonSaid {
        /// The socket or the host.
        address: String,
        /// What it says.
        message: String,
    },
    /// A Nix daemon cannot be reached, or not be understood.
    #[error("the connection to the Nix daemon at '{address}' failed: {source}")]
    DaemonLost {
        /// The socket or the host.
        address: String,
        /// Why.
        source: WireError,
    },
    /// A place for a root link that is taken.
    #[error("cannot make the root '{}': {reason}", path.display())]
    BadRoot {
        /// The link.
        path: PathBuf,
        /// What is in the way.
        reason: &'static str,
    },
}

/// What a schema means that is not today's.
fn of_schema(root: &Path, found: &str) -> String {
    let root = root.display();
    match found.parse::<u64>() {
        Ok(number) if number > 10 => format!(
            "was made by a newer Nix: it has schema {number}, and this Wharf reads schema 10; get a newer Wharf, or choose \
             another store with --store or WHARF_HOME"
        ),
        Ok(number) => format!(
            "was made by a very old Nix: it has schema {number}, and this Wharf reads schema 10; a Nix of today brings it up to \
             that: nix-store --store '{root}' --verify"
        ),
        Err(_) => format!(
            "is damaged: its file 'nix/var/nix/db/schema' should say 10, and does not; if it was a store of today's: \
             echo 10 > '{root}/nix/var/nix/db/schema'"
        ),
    }
}

impl StoreError {
    /// For `map_err`: an input or output error, with what was tried on which file.
    pub fn io<E: Into<io::Error>>(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Of an error that was met when a store was opened: whose store it is, if it is about who may use it.
    pub(crate) fn of_store(self, root: &Path) -> Self {
        use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        match self.io_kind() {
            Some(PermissionDenied | ReadOnlyFilesystem | NotADirectory) => {
                Self::Unusable { root: root.to_owned(), source: Box::new(self) }
            }
            _ => self,
        }
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        if let Self::Database { source, .. } = self {
            return source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        }
        matches!(self.io_kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the reader of a pipe that was written to is gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::BrokenPipe)
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. }
            | Self::Tree(TreeError::Io { source, .. } | TreeError::Nar(NarError::Io(source))) => Some(source.kind()),
            _ => None,
        }
    }
}
