//! What commands have changed in a tree, as a layer: new and changed entries, and a whiteout for each that is gone.
//!
//! The tree is compared with what was there before, instead of being stacked by the kernel: an overlay cannot be made
//! inside every container that a CI job runs in, and tells the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{ImageError, io_error};
use crate::ownership::Ownership;
use crate::pack::ROOT_MTIME;
use crate::root_tree::UNTOUCHED;
use crate::tar::{Dialect, Entry, Kind, TarWriter};

/// The entries of a tree before commands have run, by their paths below its root. Empty where there was no base image.
#[derive(Debug, Default)]
pub(crate) struct Before(BTreeMap<PathBuf, Known>);

/// What is known of an entry.
#[derive(Debug)]
pub(crate) struct Known {
    pub inode: u64,
    pub directory: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Before {
    pub fn insert(&mut self, path: PathBuf, known: Known) {
        self.0.insert(path, known);
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Gives directories their own modes.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn set_modes(&self, root: &Path) -> Result<(), ImageError> {
        for (path, known) in self.0.iter().rev().filter(|(_, known)| known.directory) {
            let path = root.join(path);
            // What was merged over the base may have taken its place.
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                fs::set_permissions(&path, fs::Permissions::from_mode(known.mode))
                    .map_err(io_error(format!("cannot set the mode of {}", path.display())))?;
            }
        }
        Ok(())
    }

    /// The names in a directory.
    fn names(&self, directory: &Path) -> BTreeSet<OsString> {
        let below = self.0.range(directory.to_owned()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(directory));
        below
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name().map(OsString::from))
            .collect()
    }

    fn changed(&self, path: &Path, metadata: &Metadata) -> bool {
        let Some(known) = self.0.get(path) else { return true };
        let mode = metadata.permissions().mode() & 0o7777;
        match (known.directory, metadata.is_dir(), metadata.is_symlink()) {
            (true, true, _) => known.mode != mode,
            (false, false, true) => known.inode != metadata.ino(),
            (false, false, false) => {
                known.inode != metadata.ino() || known.mode != mode || metadata.mtime() != UNTOUCHED.as_secs() as i64
            }
            _ => true,
        }
    }
}

/// A tree to be packed.
pub(crate) struct Changed<'a> {
    pub root: &'a Path,
    pub before: &'a Before,
    /// Owners that were given.
    pub owners: &'a Ownership,
    /// The owner of everything else that is new.
    pub owner: (u32, u32),
    /// Paths below the root that are no part of the image.
    pub ignored: &'a BTreeSet<PathBuf>,
}

enum Change {
    Entry(PathBuf, Metadata),
    Whiteout(PathBuf),
}

static NOTHING: (Before, BTreeSet<PathBuf>) = (Before(BTreeMap::new()), BTreeSet::new());

impl<'a> Changed<'a> {
    /// A tree that is new as a whole.
    pub fn new(root: &'a Path, owners: &'a Ownership, owner: (u32, u32)) -> Self {
        Self { root, before: &NOTHING.0, owners, owner, ignored: &NOTHING.1 }
    }

    /// Packs the changes as GNU tar does, with their modes and owners.
    ///
    /// # Errors
    /// The tree has what no layer can hold (a socket, a FIFO, a device), or the file system refuses.
    pub fn pack(&self, out: impl Write) -> Result<(), ImageError> {
        let mut changes = Vec::new();
        let metadata = self.metadata(Path::new(""))?;
        changes.push(Change::Entry(PathBuf::new(), metadata));
        self.directory(Path::new(""), &mut changes)?;
        let mut tar = TarWriter::new(out, Dialect::Gnu);
        for change in &changes {
            match change {
                Change::Entry(path, metadata) => self.entry(&mut tar, path, metadata)?,
                Change::Whiteout(path) => self.append(&mut tar, path, Kind::File(0), 0o644, (0, 0), io::empty())?,
            }
        }
        tar.finish().map_err(io_error("cannot write the layer"))?;
        Ok(())
    }

    /// The changes below a directory. Directories that are as they were are named only above a change.
    fn directory(&self, directory: &Path, changes: &mut Vec<Change>) -> Result<(), ImageError> {
        let known = self.before.names(directory);
        let present = self.names(directory)?;
        for name in known.union(&present) {
            let path = directory.join(name);
            if self.ignored.contains(&path) {
                continue;
            }
            if !present.contains(name) {
                let hidden = [b".wh.", name.as_bytes()].concat();
                changes.push(Change::Whiteout(directory.join(std::ffi::OsStr::from_bytes(&hidden))));
                continue;
            }
            let metadata = self.metadata(&path)?;
            let changed = self.before.changed(&path, &metadata) || self.owners.of(&path) != (None, None);
            let (is_directory, place) = (metadata.is_dir(), changes.len());
            changes.push(Change::Entry(path.clone(), metadata));
            if is_directory {
                self.directory(&path, changes)?;
            }
            if !changed && changes.len() == place + 1 {
                changes.pop();
            }
        }
        Ok(())
    }

    fn names(&self, directory: &Path) -> Result<BTreeSet<OsString>, ImageError> {
        let real = self.root.join(directory);
        let failed = || io_error(format!("cannot list {}", real.display()));
        let entries = readable(&real, 0o500, || fs::read_dir(&real)).map_err(failed())?;
        entries.map(|entry| Ok(entry.map_err(failed())?.file_name())).collect()
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, ImageError> {
        let real = self.root.join(path);
        fs::symlink_metadata(&real).map_err(io_error(format!("cannot look at {}", real.display())))
    }

    fn entry<W: Write>(&self, tar: &mut TarWriter<W>, path: &Path, metadata: &Metadata) -> Result<(), ImageError> {
        let real = self.root.join(path);
        let failed = || io_error(format!("cannot pack {}", real.display()));
        let (kind, owner) = (metadata.file_type(), self.owner_of(path, metadata));
        let mode = metadata.permissions().mode() & 0o7777;
        if kind.is_symlink() {
            let target = fs::read_link(&real).map_err(failed())?;
            self.append(tar, path, Kind::Symlink(target.as_os_str().as_bytes()), 0o777, owner, io::empty())
        } else if kind.is_file() {
            let file = readable(&real, 0o400, || File::open(&real)).map_err(failed())?;
            self.append(tar, path, Kind::File(metadata.len()), mode, owner, file)
        } else if kind.is_dir() {
            self.append(tar, path, Kind::Directory, mode, owner, io::empty())
        } else {
            let reason = "is a socket, a FIFO or a device, which an image cannot hold";
            Err(ImageError::Definition(format!("{} {reason}", real.display())))
        }
    }

    /// The owner that was given, else the one that a file of the base image had.
    fn owner_of(&self, path: &Path, metadata: &Metadata) -> (u32, u32) {
        let (uid, gid) = self.owners.of(path);
        let kept = self.before.0.get(path).filter(|known| known.inode == metadata.ino());
        let (own_uid, own_gid) = kept.map_or(self.owner, |known| (known.uid, known.gid));
        (uid.unwrap_or(own_uid), gid.unwrap_or(own_gid))
    }

    fn append<W: Write>(
        &self,
        tar: &mut TarWriter<W>,
        path: &Path,
        kind: Kind<'_>,
        mode: u32,
        (uid, gid): (u32, u32),
        data: impl io::Read,
    ) -> Result<(), ImageError> {
        let name = match path.as_os_str().as_bytes() {
            b"" => b".".to_vec(),
            name => [b"./", name].concat(),
        };
        let entry = Entry { path: &name, kind, mode, uid, gid, uname: "", gname: "", mtime: ROOT_MTIME };
        tar.append_file(&entry, data).map_err(io_error(format!("cannot pack {}", path.display())))
    }
}

/// Opens what commands may have made unreadable even for its owner.
fn readable<T>(path: &Path, bits: u32, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mode = fs::symlink_metadata(path)?.permissions().mode();
            fs::set_permissions(path, fs::Permissions::from_mode(mode | bits))?;
            open()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(root: &Path, names: &[&str]) -> Before {
        let mut before = Before::default();
        for name in names {
            let metadata = fs::symlink_metadata(root.join(name)).unwrap();
            let (inode, directory, mode) = (metadata.ino(), metadata.is_dir(), metadata.mode() & 0o7777);
            before.insert(PathBuf::from(name), Known { inode, directory, mode, uid: 7, gid: 8 });
        }
        before
    }

    fn put(root: &Path, name: &str, text: &str) {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
        let file = File::options().write(true).open(root.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + UNTOUCHED).unwrap();
    }

    fn packed(changed: &Changed<'_>) -> Vec<(String, u64)> {
        let mut tar = Vec::new();
        changed.pack(&mut tar).unwrap();
        let mut archive = ::tar::Archive::new(&tar[..]);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| (String::from_utf8_lossy(&entry.path_bytes()).into_owned(), entry.header().uid().unwrap()))
            .collect()
    }

    #[test]
    fn only_changes_are_packed_and_what_is_gone_is_whited_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["a/kept", "a/written", "b/kept", "c/d/gone", "c/kept", "e"] {
            put(root, name, "x");
        }
        let names = ["", "a", "a/kept", "a/written", "b", "b/kept", "c", "c/d", "c/d/gone", "c/kept", "e"];
        let before = known(root, &names);
        fs::write(root.join("a/written"), "y").unwrap();
        fs::remove_dir_all(root.join("c/d")).unwrap();
        fs::remove_file(root.join("e")).unwrap();
        put(root, "f/new", "z");
        fs::create_dir(root.join("proc")).unwrap();
        let ignored = BTreeSet::from([PathBuf::from("proc")]);
        let owners = Ownership::default();
        let changed = Changed { root, before: &before, owners: &owners, owner: (0, 0), ignored: &ignored };
        let wanted = [
            ("./", 7),
            ("./a/", 7),
            ("./a/written", 7),
            ("./c/", 7),
            ("./c/.wh.d", 0),
            ("./.wh.e", 0),
            ("./f/", 0),
            ("./f/new", 0),
        ];
        assert_eq!(packed(&changed), wanted.map(|(name, uid)| (name.to_owned(), uid)));
        let owners = Ownership::parse(b"/b/kept\x005\x005\n", Path::new("/")).unwrap();
        let given = packed(&Changed { owners: &owners, ..changed });
        assert!(given.contains(&("./b/kept".to_owned(), 5)), "{given:?}");
    }
}
