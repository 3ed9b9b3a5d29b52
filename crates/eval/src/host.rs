//! The evaluator's only way to the world.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix_formats::content_address::Method;
use nix_formats::hash::Hash;
use nix_formats::store_path::StorePath;
use thiserror::Error as ThisError;

use crate::error::Error;

/// What the evaluator asks of the world around it. All paths are absolute; those below `/nix/store` are logical (the
/// host knows where the objects really are). An implementation decides what may be read (pure and restricted
/// evaluation) and records what was.
pub trait Host: Send + Sync {
    /// The bytes of a regular file; follows symbolic links.
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError>;

    /// The entries of a directory, in any order.
    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError>;

    /// The type of what is at `path`, a symbolic link at its end not followed; `None` if there is nothing.
    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError>;

    /// As [`Host::file_type`], but what must not be looked at is nothing too (`builtins.pathExists`).
    fn visible_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        match self.file_type(path) {
            Err(HostError::Refused(_)) => Ok(None),
            seen => seen,
        }
    }

    /// Where the symbolic link at `path` points, as written in it.
    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError>;

    /// Copies a file or tree into the store, or only computes its store path if the host evaluates read-only.
    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError>;

    /// Makes a store object that is one file with the given references (`builtins.toFile`).
    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError>;

    /// Takes note of a derivation, `aterm` being its text and `path` the path of that. It may be written now, later,
    /// or never (read-only evaluation).
    fn add_derivation(&self, path: &StorePath, aterm: Vec<u8>) -> Result<(), HostError>;

    /// Makes store objects exist, building if need be, so that evaluation can read them (import from derivation).
    /// Returns the store path of each.
    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError>;

    /// Checks that a store object exists or can be had (`builtins.storePath`).
    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError>;

    /// The references of a store object that exists: a string read from it may refer to them.
    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, HostError>;

    /// An environment variable as the expression is to see it; `None` if unset.
    fn env_var(&self, name: &str) -> Option<Vec<u8>>;

    /// The time in seconds since 1970 (`builtins.currentTime`). Asked for at most once in an evaluation, and only if the
    /// program uses it.
    fn current_time(&self) -> i64;

    /// Fetches a source.
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError>;

    /// Resolves and locks a flake, without evaluating its outputs.
    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError>;

    /// Shows a message of `builtins.trace` or `builtins.warn`, or one of the evaluator's own warnings.
    fn show(&self, level: Level, message: &str);
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file
    Regular,
    /// A directory
    Directory,
    /// A symbolic link
    Symlink,
    /// A device, socket or pipe
    Unknown,
}

impl FileType {
    /// The name that `builtins.readDir` gives it.
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Unknown => "unknown",
        }
    }
}

/// Says of each path of a tree, given as in the expression, whether to copy it.
pub type Filter<'a> = dyn FnMut(&Path, FileType) -> Result<bool, HostError> + 'a;

/// A copy into the store.
pub struct CopyPath<'a> {
    /// What to copy.
    pub source: &'a Path,
    /// The name part of the store path.
    pub name: &'a str,
    /// [`Method::Nar`] for any tree, [`Method::Flat`] for one regular file.
    pub method: Method,
    /// Leaves out some of the tree; `None` copies all of it.
    pub filter: Option<&'a mut Filter<'a>>,
    /// The hash that the copy must have. With it, an object that exists already need not be copied.
    pub expected: Option<&'a Hash>,
}

/// A store object that evaluation needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A path as it is.
    Path(StorePath),
    /// A derivation's output.
    Output {
        /// The path of the `.drv` file.
        derivation: StorePath,
        /// The output's name.
        output: String,
    },
}

/// A source to fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchRequest {
    /// Which builtin asks.
    pub fetcher: Fetcher,
    /// Its arguments, by their names in the language (`url`, `rev`, `ref`, `name`, `sha256`, …). A string given
    /// instead of a set is `url`.
    pub attrs: BTreeMap<String, FetchValue>,
}

/// The builtins that fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetcher {
    /// `builtins.fetchTree`
    Tree,
    /// `builtins.fetchGit`
    Git,
    /// `builtins.fetchMercurial`
    Mercurial,
    /// `builtins.fetchTarball`
    Tarball,
    /// `builtins.fetchurl`
    Url,
}

/// An argument or a result of fetching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchValue {
    /// A string
    String(String),
    /// An integer
    Int(i64),
    /// A boolean
    Bool(bool),
}

/// A source that was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// The store object.
    pub path: StorePath,
    /// What else is known: `rev`, `shortRev`, `lastModified`, `lastModifiedDate`, `narHash`, `revCount`, `submodules`….
    pub attrs: Vec<(String, FetchValue)>,
}

/// A flake with its lock.
#[derive(Clone, Debug)]
pub struct LockedFlake {
    /// The text of the lock file, version 7.
    pub lock_file: String,
    /// The nodes of the lock that are at hand already (the root always): their key, source, and directory in it.
    pub sources: Vec<(String, Fetched, String)>,
}

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `builtins.trace`
    Trace,
    /// `builtins.warn`, or a warning of the evaluator
    Warning,
}

/// Why the host could not do something.
#[derive(Debug, ThisError)]
pub enum HostError {
    /// There is nothing at the path.
    #[error("path '{0}' does not exist")]
    NotFound(PathBuf),
    /// The mode of evaluation does not allow it.
    #[error("{0}")]
    Refused(String),
    /// It was tried, and failed; the sentence says what, where and why.
    #[error("{0}")]
    Failed(String),
    /// A function of the expression (a filter) failed.
    #[error("{0}")]
    Callback(Box<Error>),
}
