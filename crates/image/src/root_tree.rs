//! An image's root as real files, for commands to change: merged into a directory, and packed again afterwards.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::{ImageError, io_error};
use crate::ownership::Ownership;
use crate::pack::ROOT_MTIME;
use crate::tar::{Dialect, Entry, Kind, TarWriter};
use crate::tree::{Directory, Node};

/// Writes a merged tree below `into`, which exists. Directories can be changed by their owner.
///
/// # Errors
/// The file system refuses.
pub fn write(tree: &Directory, into: &Path) -> Result<(), ImageError> {
    for (name, node) in tree {
        let path = into.join(name);
        let failed = || io_error(format!("cannot write {}", path.display()));
        match node {
            Node::Directory(children) => {
                fs::create_dir(&path).map_err(failed())?;
                write(children, &path)?;
            }
            Node::Symlink(target) => {
                let target = std::ffi::OsString::from_vec(target.clone());
                symlink(target, &path).map_err(failed())?;
            }
            Node::File { real, executable } => {
                fs::copy(real, &path).map_err(failed())?;
                let mode = if *executable { 0o555 } else { 0o444 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed())?;
            }
        }
    }
    Ok(())
}

/// Packs a tree as GNU tar does, with its modes and the recorded owners; others belong to `uid` and `gid`.
///
/// # Errors
/// The tree has what no layer can hold (a socket, a FIFO, a device), or the file system refuses.
pub fn pack(tree: &Path, uid: u32, gid: u32, owners: &Ownership, out: impl Write) -> Result<(), ImageError> {
    let tree = fs::canonicalize(tree).map_err(io_error(format!("cannot open {}", tree.display())))?;
    let mut packer = Packer { tar: TarWriter::new(out, Dialect::Gnu), uid, gid, owners };
    packer.path(&tree, b".")?;
    packer.tar.finish().map_err(io_error("cannot write the layer"))?;
    Ok(())
}

struct Packer<'a, W> {
    tar: TarWriter<W>,
    uid: u32,
    gid: u32,
    owners: &'a Ownership,
}

impl<W: Write> Packer<'_, W> {
    fn path(&mut self, real: &Path, name: &[u8]) -> Result<(), ImageError> {
        let failed = || io_error(format!("cannot pack {}", real.display()));
        let metadata = fs::symlink_metadata(real).map_err(failed())?;
        let kind = metadata.file_type();
        let mode = metadata.permissions().mode() & 0o7777;
        if kind.is_symlink() {
            let target = fs::read_link(real).map_err(failed())?;
            return self.entry(real, name, Kind::Symlink(target.as_os_str().as_bytes()), 0o777, io::empty());
        }
        if kind.is_file() {
            let file = File::open(real).map_err(failed())?;
            return self.entry(real, name, Kind::File(metadata.len()), mode, file);
        }
        if !kind.is_dir() {
            let reason = "is a socket, a FIFO or a device, which an image cannot hold";
            return Err(ImageError::Definition(format!("{} {reason}", real.display())));
        }
        self.entry(real, name, Kind::Directory, mode, io::empty())?;
        let entries = fs::read_dir(real).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let mut names: Vec<_> = entries.map_err(failed())?;
        names.sort_unstable();
        names.iter().try_for_each(|child| self.path(&real.join(child), &[name, b"/", child.as_bytes()].concat()))
    }

    fn entry(
        &mut self,
        real: &Path,
        path: &[u8],
        kind: Kind<'_>,
        mode: u32,
        data: impl io::Read,
    ) -> Result<(), ImageError> {
        let (uid, gid) = self.owners.of(real);
        let (uid, gid) = (uid.unwrap_or(self.uid), gid.unwrap_or(self.gid));
        let entry = Entry { path, kind, mode, uid, gid, uname: "", gname: "", mtime: ROOT_MTIME };
        self.tar.append_file(&entry, data).map_err(io_error(format!("cannot pack {}", real.display())))
    }
}
