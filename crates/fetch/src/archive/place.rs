//! The tree that comes of an archive.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::bounds::{Bounds, Counter};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Symlink,
}

/// Makes entries below a directory, and nowhere else. Paths are those that [`inside`] gives.
pub(super) struct Unpacking<'a> {
    root: &'a Path,
    /// What was made, by the path below the root.
    kinds: HashMap<PathBuf, Kind>,
    bounds: Bounds,
    /// The latest modification time, in seconds since 1970.
    pub newest: u64,
}

impl<'a> Unpacking<'a> {
    pub fn new(root: &'a Path, taken: Counter) -> Self {
        Self { root, kinds: HashMap::new(), bounds: Bounds::new(taken), newest: 0 }
    }

    /// A place beside the tree, for what is to be read more than once.
    pub fn spool(&self) -> Result<File, String> {
        let beside = self.root.parent().unwrap_or(self.root);
        tempfile::tempfile_in(beside).map_err(|error| format!("cannot write to '{}': {error}", beside.display()))
    }

    /// Makes the directories on the way to `path`, and `path` itself.
    pub fn directory(&mut self, path: &Path) -> Result<(), String> {
        match self.kinds.get(path) {
            Some(Kind::Directory) => return Ok(()),
            Some(_) => return Err(format!("an entry goes through '{}', which is no directory", path.display())),
            None if path.as_os_str().is_empty() => return Ok(()),
            None => {}
        }
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        fs::create_dir(self.root.join(path)).map_err(|error| format!("cannot create '{}': {error}", path.display()))?;
        self.note(path, Kind::Directory)
    }

    /// Writes a file; `before` is called before each part of it is read.
    pub fn file(&mut self, path: &Path, executable: bool, content: &mut dyn Read) -> Result<(), String> {
        let place = self.make_way(path)?;
        let failed = |error: io::Error| format!("cannot write '{}': {error}", path.display());
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place).map_err(failed)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.bounds.content(count as u64).map_err(|error| error.to_string())?;
                    file.write_all(&buffer[..count]).map_err(failed)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot read '{}': {error}", path.display())),
            }
        }
        self.note(path, Kind::File)
    }

    pub fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), String> {
        let place = self.make_way(path)?;
        symlink(OsStr::from_bytes(target), place)
            .map_err(|error| format!("cannot write '{}': {error}", path.display()))?;
        self.note(path, Kind::Symlink)
    }

    /// Gives what is at `target` one more name.
    pub fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), String> {
        let kind = self.kinds.get(target).copied().filter(|kind| *kind != Kind::Directory);
        let kind = kind.ok_or_else(|| format!("the hard link '{}' has no target", path.display()))?;
        if path == target {
            return Ok(());
        }
        let place = self.make_way(path)?;
        fs::hard_link(self.root.join(target), place)
            .map_err(|error| format!("cannot write '{}': {error}", path.display()))?;
        self.note(path, kind)
    }

    /// Makes the directories above a path, and takes an earlier entry of its name away.
    fn make_way(&mut self, path: &Path) -> Result<PathBuf, String> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        match self.kinds.remove(path) {
            None => {}
            Some(Kind::Directory) => {
                return Err(format!("'{}' is there as a directory and as a file", path.display()));
            }
            Some(_) => fs::remove_file(self.root.join(path))
                .map_err(|error| format!("cannot replace '{}': {error}", path.display()))?,
        }
        Ok(self.root.join(path))
    }

    fn note(&mut self, path: &Path, kind: Kind) -> Result<(), String> {
        self.bounds.name(path.as_os_str().len())?;
        self.kinds.insert(path.to_owned(), kind);
        Ok(())
    }
}

/// The path of an entry below the root; an error if it leads out.
pub(super) fn inside(path: &[u8]) -> Result<PathBuf, String> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut below = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => below.push(name),
            Component::CurDir => {}
            _ => return Err(format!("the entry '{}' leads out of the archive", path.display())),
        }
    }
    Ok(below)
}
