//! An image's root as real files, for commands to change: written into a directory, where a base image may be already.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{ImageError, io_error};
use crate::flatten::{Content, Flattened};
use crate::root_changes::{Before, Known};
use crate::tree::{Directory, Node};

/// The time of a base image's files while commands run: what has another one was written to.
pub(crate) const UNTOUCHED: Duration = Duration::from_secs(1);

/// Writes a merged tree below `into`, which exists. A directory is merged with one that is there; anything else
/// replaces what is there. Directories can be changed by their owner.
///
/// # Errors
/// The file system refuses.
pub fn write(tree: &Directory, into: &Path) -> Result<(), ImageError> {
    for (name, node) in tree {
        let path = into.join(name);
        let failed = || io_error(format!("cannot write {}", path.display()));
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        match node {
            Node::Directory(children) => {
                if !is_directory {
                    remove(&path).and_then(|()| fs::create_dir(&path)).map_err(failed())?;
                }
                write(children, &path)?;
            }
            Node::Symlink(target) => {
                let target = std::ffi::OsString::from_vec(target.clone());
                remove(&path).and_then(|()| symlink(target, &path)).map_err(failed())?;
            }
            Node::File { real, executable } => {
                remove(&path).and_then(|()| fs::copy(real, &path)).map_err(failed())?;
                let mode = if *executable { 0o555 } else { 0o444 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed())?;
            }
        }
    }
    Ok(())
}

/// Makes room for something at `path`.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Unpacks an image's tree into an empty directory, and remembers what it had. Names come from outside, but each
/// parent is a directory that was made here, so that no link is followed. Directories can be changed by their owner
/// until [`Before::set_modes`].
///
/// # Errors
/// A layer cannot be read, or the file system refuses.
pub(crate) fn unpack(image: &Flattened, into: &Path) -> Result<Before, ImageError> {
    let mut before = Before::default();
    for (names, node) in image.entries() {
        let relative: PathBuf = names.iter().map(|name| std::ffi::OsStr::from_bytes(name)).collect();
        let path = into.join(&relative);
        let inode = place(image, node, &path).map_err(io_error(format!("cannot unpack {}", relative.display())))?;
        let directory = matches!(node.content, Content::Directory);
        before.insert(relative, Known { inode, directory, mode: node.mode & 0o7777, uid: node.uid, gid: node.gid });
    }
    Ok(before)
}

fn place(image: &Flattened, node: &crate::flatten::Node, path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    match &node.content {
        Content::Directory if path.is_dir() => {}
        Content::Directory => DirBuilder::new().mode(0o700).create(path)?,
        Content::Symlink(target) => symlink(std::ffi::OsStr::from_bytes(target), path)?,
        Content::File { layer, offset, size } => {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
            io::copy(&mut image.content(*layer, *offset, *size)?, &mut file)?;
            file.flush()?;
            file.set_permissions(fs::Permissions::from_mode(node.mode & 0o7777))?;
            file.set_modified(SystemTime::UNIX_EPOCH + UNTOUCHED)?;
        }
    }
    Ok(fs::symlink_metadata(path)?.ino())
}
