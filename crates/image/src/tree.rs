//! Several directories of the store merged into one tree, before it is packed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{ImageError, io_error};
use crate::objects::{Objects, Resolved};

/// A directory's entries by name.
pub type Directory = BTreeMap<OsString, Node>;

/// One entry of a tree.
#[derive(Debug)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A regular file with the content of this one.
    File {
        /// Where the content is on this machine.
        real: PathBuf,
        /// Whether it may be run.
        executable: bool,
    },
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
}

/// How entries get into the tree.
#[derive(Clone, Copy)]
enum Merge {
    /// Files are copied, a later one wins; links to directories are followed unless they are to be kept.
    Copy { keep_dirlinks: bool },
    /// Files become links to where they are; an earlier one wins.
    Link,
}

/// Merges the directories by copying: as `rsync -a`, with `-k` unless `keep_dirlinks`.
///
/// # Errors
/// One of them is not a directory, a directory would replace a file or the reverse, or the file system refuses.
pub fn copied(objects: &Objects, contents: &[PathBuf], keep_dirlinks: bool) -> Result<Directory, ImageError> {
    merge_all(objects, contents, Merge::Copy { keep_dirlinks })
}

/// Merges the directories by links: as nixpkgs' `symlinkJoin`.
///
/// # Errors
/// As [`copied`].
pub fn linked(objects: &Objects, contents: &[PathBuf]) -> Result<Directory, ImageError> {
    merge_all(objects, contents, Merge::Link)
}

fn merge_all(objects: &Objects, contents: &[PathBuf], merge: Merge) -> Result<Directory, ImageError> {
    let mut root = Directory::new();
    for path in contents {
        let directory = objects.resolve(path)?.filter(|found| found.metadata.is_dir());
        let directory = directory.ok_or_else(|| {
            let reason = "only a directory can become part of the image's root; put a file into one, for example \
                          with `runCommand` or `writeTextDir`";
            ImageError::Definition(format!("{} is not a directory: {reason}", path.display()))
        })?;
        Merger { objects, merge }.directory(&mut root, &directory)?;
    }
    Ok(root)
}

struct Merger<'a> {
    objects: &'a Objects,
    merge: Merge,
}

impl Merger<'_> {
    fn directory(&self, into: &mut Directory, from: &Resolved) -> Result<(), ImageError> {
        let action = || format!("cannot read the directory {}", from.path.display());
        for entry in fs::read_dir(&from.real).map_err(io_error(action()))? {
            let entry = entry.map_err(io_error(action()))?;
            let kind = entry.file_type().map_err(io_error(action()))?;
            let path = from.path.join(entry.file_name());
            if kind.is_dir() {
                let metadata = entry.metadata().map_err(io_error(action()))?;
                self.subdirectory(into, entry.file_name(), &Resolved { path, real: entry.path(), metadata })?;
            } else if kind.is_symlink() {
                self.symlink(into, entry.file_name(), &path, &entry.path())?;
            } else {
                self.file(into, entry.file_name(), &path, entry.path())?;
            }
        }
        Ok(())
    }

    /// Merges a directory with what is there; a link to a directory is replaced by what it leads to.
    fn subdirectory(&self, into: &mut Directory, name: OsString, from: &Resolved) -> Result<(), ImageError> {
        let place = into.entry(name).or_insert_with(|| Node::Directory(Directory::new()));
        if let Node::Symlink(target) = place {
            let target = PathBuf::from(OsString::from_vec(std::mem::take(target)));
            let mut expanded = Directory::new();
            if let Some(earlier) = self.objects.resolve(&target)?.filter(|found| found.metadata.is_dir()) {
                self.directory(&mut expanded, &earlier)?;
            }
            *place = Node::Directory(expanded);
        }
        match place {
            Node::Directory(directory) => self.directory(directory, from),
            Node::File { .. } | Node::Symlink(_) => Err(conflict(&from.path, "a directory", "a file")),
        }
    }

    fn symlink(&self, into: &mut Directory, name: OsString, path: &Path, real: &Path) -> Result<(), ImageError> {
        let target = fs::read_link(real).map_err(io_error(format!("cannot read the link {}", path.display())))?;
        let merges_with_directory = matches!(into.get(&name), Some(Node::Directory(_)));
        let follow = matches!(self.merge, Merge::Copy { keep_dirlinks: false }) || merges_with_directory;
        if follow && let Some(found) = self.objects.resolve(path)?.filter(|found| found.metadata.is_dir()) {
            return self.subdirectory(into, name, &found);
        }
        self.put(into, name, path, Node::Symlink(target.into_os_string().into_vec()))
    }

    fn file(&self, into: &mut Directory, name: OsString, path: &Path, real: PathBuf) -> Result<(), ImageError> {
        let node = match self.merge {
            Merge::Link => Node::Symlink(path.as_os_str().to_owned().into_vec()),
            Merge::Copy { .. } => {
                let metadata = fs::metadata(&real).map_err(io_error(format!("cannot look at {}", path.display())))?;
                Node::File { real, executable: metadata.permissions().mode() & 0o111 != 0 }
            }
        };
        self.put(into, name, path, node)
    }

    fn put(&self, into: &mut Directory, name: OsString, path: &Path, node: Node) -> Result<(), ImageError> {
        let later_wins = matches!(self.merge, Merge::Copy { .. });
        match into.get(&name) {
            Some(Node::Directory(_)) => return Err(conflict(path, "a file", "a directory")),
            Some(_) if !later_wins => {}
            _ => {
                into.insert(name, node);
            }
        }
        Ok(())
    }
}

fn conflict(path: &Path, new: &str, old: &str) -> ImageError {
    let path = path.display();
    ImageError::Definition(format!("{path} is {new} where another content of the image's root has {old}"))
}
