//! Files that come with the evaluator, and the host that adds them to another.
//!
//! `<nix/fetchurl.nix>` is a path in a tree of its own, which no file system has. In a value it is below a directory that
//! no real file is likely to be in; what is shown of it (`<nix/…>`), and the string that it becomes, are Nix's.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;

use crate::heap::Str;
use crate::host::{CopyPath, FetchRequest, Fetched, FileType, Host, HostError, Level, LockedFlake, Wanted};
use crate::interp::paths;

/// The directory of the files that `<nix/…>` finds.
const ROOT: &str = "/\u{1}nix";

/// Where the function that calls a flake is.
pub(crate) const CALL_FLAKE: &str = "/\u{1}flakes/call-flake.nix";

const FILES: &[(&str, &str)] = &[
    (CALL_FLAKE, include_str!("builtins/call-flake.nix")),
    ("/\u{1}nix/fetchurl.nix", include_str!("builtins/fetchurl.nix")),
];

/// The path of the file that `<nix/NAME>` means, whether or not there is one.
pub(crate) fn named(name: &str) -> Vec<u8> {
    let mut path = ROOT.as_bytes().to_vec();
    match &paths::canonical(name.as_bytes())[..] {
        b"/" => {}
        below => path.extend_from_slice(below),
    }
    path
}

/// What of a path is below the root of the embedded files; empty for the root itself.
fn below(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(ROOT.as_bytes()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether this is the root of the embedded files, which is its own parent.
pub(crate) fn is_root(path: &[u8]) -> bool {
    path == ROOT.as_bytes()
}

/// Whether a path of the language is in the tree of the embedded files.
pub(crate) fn has(path: &[u8]) -> bool {
    below(path).is_some()
}

/// A path as it is shown.
pub(crate) fn shown(path: &[u8]) -> Cow<'_, [u8]> {
    match below(path) {
        None => Cow::Borrowed(path),
        Some(b"") => Cow::Borrowed(b"<nix/>"),
        Some(rest) => Cow::Owned([b"<nix", rest, b">"].concat()),
    }
}

/// A path within its own tree, which is what `toString` makes of it.
pub(crate) fn plain(path: &[u8]) -> &[u8] {
    match below(path) {
        None => path,
        Some(b"") => b"/",
        Some(rest) => rest,
    }
}

/// As [`plain`], for a string of the heap.
pub(crate) fn plain_string(path: &'static Str) -> &'static Str {
    if below(path.bytes()).is_none() { path } else { Str::new(plain(path.bytes()), None) }
}

/// A host, and the embedded files.
pub(crate) struct WithEmbedded(pub(crate) Box<dyn Host>);

fn text(path: &Path) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| *text)
}

/// Whether a path is in the tree of the embedded files.
fn is_embedded(path: &Path) -> bool {
    below(paths::bytes(path)).is_some() || path == Path::new(CALL_FLAKE)
}

fn missing(path: &Path) -> HostError {
    HostError::NotFound(paths::path(&shown(paths::bytes(path))).to_owned())
}

impl Host for WithEmbedded {
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        if !is_embedded(path) {
            return self.0.read_file(path);
        }
        text(path).map(|text| text.as_bytes().to_vec()).ok_or_else(|| missing(path))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        if !is_embedded(path) {
            return self.0.read_dir(path);
        }
        if !is_root(paths::bytes(path)) {
            return Err(missing(path));
        }
        let files = FILES.iter().filter_map(|(name, _)| below(name.as_bytes()));
        Ok(files.map(|name| (name[1..].to_vec(), FileType::Regular)).collect())
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        match is_embedded(path) {
            false => self.0.file_type(path),
            true if is_root(paths::bytes(path)) => Ok(Some(FileType::Directory)),
            true => Ok(text(path).map(|_| FileType::Regular)),
        }
    }

    fn visible_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        if is_embedded(path) { self.file_type(path) } else { self.0.visible_type(path) }
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        if is_embedded(path) { Err(missing(path)) } else { self.0.read_link(path) }
    }

    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        if !is_embedded(copy.source) {
            return self.0.copy_path(copy);
        }
        // Its text is ours, so the store path could not be the one that Nix gives.
        let shown = shown(paths::bytes(copy.source)).into_owned();
        let shown = String::from_utf8_lossy(&shown);
        Err(HostError::Refused(format!("'{shown}' is part of Wharf and cannot be copied to the store: import it")))
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError> {
        self.0.add_text(name, contents, references)
    }

    fn add_derivation(&self, path: &StorePath, aterm: Vec<u8>) -> Result<(), HostError> {
        self.0.add_derivation(path, aterm)
    }

    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError> {
        self.0.realise(wanted)
    }

    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError> {
        self.0.ensure_path(path)
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, HostError> {
        self.0.references(path)
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        self.0.env_var(name)
    }

    fn current_time(&self) -> i64 {
        self.0.current_time()
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        self.0.fetch(request)
    }

    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError> {
        self.0.lock_flake(reference)
    }

    fn show(&self, level: Level, message: &str) {
        self.0.show(level, message);
    }
}
