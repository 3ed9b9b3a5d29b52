//! Canonical metadata, as `posix-fs-canonicalise.cc` of C++ Nix gives it.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Timespec, Timestamps};

use super::TreeError;

/// The modification time of everything in a store, in seconds since 1970.
pub const MTIME: i64 = 1;

/// For the calls that set it; the access time does not matter, and is set too so that it tells nothing.
pub(crate) const TIMESTAMPS: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: MTIME, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: MTIME, tv_nsec: 0 },
};

/// Gives a tree that a builder wrote the metadata of the store: modification time 1, modes 0444 or 0555 (which takes
/// setuid bits away), no extended attributes, no other types than files, directories and symlinks; what another user's builder
/// wrote becomes ours.
pub fn canonicalise(path: &Path) -> Result<(), TreeError> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut pending = vec![path.to_owned()];
    // Directories get their time last, since changing their entries would change it; children come after parents here.
    let mut directories = Vec::new();
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().map_err(TreeError::io("read", &path))?;
        let kind = metadata.file_type();
        if metadata.uid() != user {
            lchown(&path, Some(user), Some(group)).map_err(TreeError::io("take over", &path))?;
        }
        if kind.is_dir() {
            set_mode(&path, metadata.mode(), 0o755)?;
            remove_xattrs(&path)?;
            list(&path, &mut pending)?;
            directories.push((path, metadata.mtime()));
        } else if kind.is_file() {
            let mode = 0o444 | if metadata.mode() & 0o100 != 0 { 0o111 } else { 0 };
            set_mode(&path, metadata.mode(), mode)?;
            remove_xattrs(&path)?;
            set_time(&path, metadata.mtime())?;
        } else if kind.is_symlink() {
            set_time(&path, metadata.mtime())?;
        } else {
            return Err(TreeError::UnsupportedType { path });
        }
    }
    for (path, mtime) in directories.iter().rev() {
        set_mode(path, 0o755, 0o555)?;
        set_time(path, *mtime)?;
    }
    Ok(())
}

/// Deletes a tree, whatever the modes in it; nothing there is no error. Symlinks are deleted, not followed.
///
/// Returns how many bytes the files took, counting one that still has other links as none.
pub fn remove(path: &Path) -> Result<u64, TreeError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(TreeError::io("read", path)(error)),
    };
    if !metadata.is_dir() {
        std::fs::remove_file(path).map_err(TreeError::io("delete", path))?;
        return Ok(if metadata.nlink() == 1 { metadata.blocks() * 512 } else { 0 });
    }
    set_mode(path, metadata.mode(), metadata.mode() | 0o700)?;
    let mut freed = metadata.blocks() * 512;
    let mut children = Vec::new();
    list(path, &mut children)?;
    for child in children {
        freed += remove(&child)?;
    }
    std::fs::remove_dir(path).map_err(TreeError::io("delete directory", path))?;
    Ok(freed)
}

fn list(path: &Path, into: &mut Vec<PathBuf>) -> Result<(), TreeError> {
    for entry in std::fs::read_dir(path).map_err(TreeError::io("read directory", path))? {
        into.push(entry.map_err(TreeError::io("read directory", path))?.path());
    }
    Ok(())
}

fn set_mode(path: &Path, current: u32, wanted: u32) -> Result<(), TreeError> {
    if current & 0o7777 == wanted & 0o7777 {
        return Ok(());
    }
    let permissions = std::fs::Permissions::from_mode(wanted & 0o7777);
    std::fs::set_permissions(path, permissions).map_err(TreeError::io("set the mode of", path))
}

fn set_time(path: &Path, current: i64) -> Result<(), TreeError> {
    if current == MTIME {
        return Ok(());
    }
    fs::utimensat(CWD, path, &TIMESTAMPS, AtFlags::SYMLINK_NOFOLLOW).map_err(TreeError::io("set the time of", path))
}

/// Takes away the attributes that the user may; those of the security modules stay, as they belong to the machine.
fn remove_xattrs(path: &Path) -> Result<(), TreeError> {
    let mut buffer = [0; 4096];
    let names = match fs::llistxattr(path, &mut buffer[..]) {
        Ok(size) => &buffer[..size],
        Err(_) => return Ok(()),
    };
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty() && !name.starts_with(b"security.")) {
        fs::lremovexattr(path, name).map_err(TreeError::io("remove an extended attribute from", path))?;
    }
    Ok(())
}
