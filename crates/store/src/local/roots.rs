//! Permanent roots: what keeps objects from being collected.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use rustix::fs::FlockOperation;

use super::LocalStore;
use super::layout::create_dir;
use super::locks::try_flock;
use crate::{Store, StoreError};

/// A root, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// A symlink in the roots' directories, or one that such a link points to.
    Link(PathBuf),
    /// A running process that has said so, by its number.
    Process(String),
    /// A running process whose program, directory or mapped file it is.
    InUse(PathBuf),
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(path) => write!(f, "link {}", path.display()),
            Self::Process(name) => write!(f, "process {name}"),
            Self::InUse(path) => write!(f, "{}", path.display()),
        }
    }
}

impl LocalStore {
    /// The link that a user sees points to where the object really is. Nix does not take such a link for a root of a
    /// chroot store, so it is given one of its own kind beside, which our collection deletes with the first.
    pub(super) fn add_indirect_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        let link = std::path::absolute(link).map_err(StoreError::io("resolve", link))?;
        if link.starts_with(self.store_dir()) {
            return Err(StoreError::BadRoot { path: link, reason: "it is inside the store" });
        }
        self.add_temp_root(path)?;
        self.require(path)?;
        match link.symlink_metadata() {
            Ok(_) if fs::read_link(&link).is_ok_and(|target| self.object_of(&target).is_some()) => {}
            Ok(_) => {
                let reason = "something else is there already, which is no link to a store object";
                return Err(StoreError::BadRoot { path: link, reason });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", link)(error)),
        }
        let name = Hash::of(HashAlgo::Sha1, link.as_os_str().as_bytes()).to_nix32();
        let real_path = self.real_path(path);
        replace_link(&real_path, &link)?;
        replace_link(Path::new(&path.to_absolute()), &self.mirror_dir().join(&name))?;
        replace_link(&link, &self.layout.gc_roots.join("auto").join(name))
    }

    fn mirror_dir(&self) -> PathBuf {
        self.layout.gc_roots.join("wharf")
    }

    /// The object that a path is, or is inside of; the path as Nix writes it, or as it really is.
    fn object_of(&self, path: &Path) -> Option<StorePath> {
        if let Ok(below) = path.strip_prefix(self.store_dir()) {
            let base_name = below.components().next()?;
            return StorePath::from_base_name(base_name.as_os_str().as_bytes()).ok();
        }
        Some(StorePath::split_absolute(path.as_os_str().as_bytes()).ok()?.0)
    }

    /// The permanent roots, with valid objects only.
    pub fn permanent_roots(&self) -> Result<BTreeMap<Root, StorePath>, StoreError> {
        let mut roots = BTreeMap::new();
        self.drop_stale_links()?;
        for directory in [&self.layout.gc_roots, &self.layout.profiles] {
            self.roots_below(directory, &mut roots)?;
        }
        Ok(roots)
    }

    /// Deletes the links of `auto` whose target is gone, and their mirrors.
    fn drop_stale_links(&self) -> Result<(), StoreError> {
        let auto = self.layout.gc_roots.join("auto");
        for link in children(&auto)? {
            let Ok(target) = fs::read_link(&link) else { continue };
            if target.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                let _ = fs::remove_file(&link);
            }
        }
        for mirror in children(&self.mirror_dir())? {
            let name = mirror.file_name().unwrap_or_default();
            if auto.join(name).symlink_metadata().is_err() {
                let _ = fs::remove_file(&mirror);
            }
        }
        Ok(())
    }

    fn roots_below(&self, path: &Path, roots: &mut BTreeMap<Root, StorePath>) -> Result<(), StoreError> {
        // Another user's directory may be closed to us; Nix passes over it too.
        let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
        if metadata.is_dir() {
            for child in children(path)? {
                self.roots_below(&child, roots)?;
            }
        } else if metadata.is_symlink() {
            let Ok(target) = fs::read_link(path) else { return Ok(()) };
            if self.object_of(&target).is_some() {
                return self.found(path, &target, roots);
            }
            let indirect = path.parent().unwrap_or(Path::new("/")).join(target);
            if let Ok(target) = fs::read_link(&indirect) {
                return self.found(&indirect, &target, roots);
            }
        } else if let Some(Ok(object)) = path.file_name().map(|name| StorePath::from_base_name(name.as_bytes()))
            && self.is_valid(&object)?
        {
            roots.insert(Root::Link(path.to_owned()), object);
        }
        Ok(())
    }

    fn found(&self, link: &Path, target: &Path, roots: &mut BTreeMap<Root, StorePath>) -> Result<(), StoreError> {
        if let Some(object) = self.object_of(target)
            && self.is_valid(&object)?
        {
            roots.insert(Root::Link(link.to_owned()), object);
        }
        Ok(())
    }

    /// What running processes have said that they need; valid or not.
    pub fn temporary_roots(&self) -> Result<Vec<(Root, StorePath)>, StoreError> {
        let mut roots = Vec::new();
        for path in children(&self.layout.temp_roots)? {
            let file = match fs::OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", path)(error)),
            };
            if try_flock(&file, FlockOperation::NonBlockingLockExclusive, &path)? {
                // Its process is gone. The byte tells one that is about to lock the file to make another.
                let _ = fs::remove_file(&path);
                let _ = io::Write::write_all(&mut &file, b"d");
                continue;
            }
            let content = fs::read(&path).map_err(StoreError::io("read", &path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let paths = content.split(|&byte| byte == 0).filter_map(|path| StorePath::from_absolute(path).ok());
            roots.extend(paths.map(|object| (Root::Process(name.to_string()), object)));
        }
        Ok(roots)
    }

    /// The objects that running processes execute, stand in or have mapped.
    pub fn runtime_roots(&self) -> Vec<(Root, StorePath)> {
        let mut roots = Vec::new();
        // Processes of others, and those that end meanwhile, cannot be read, and need not be.
        for process in children(Path::new("/proc")).unwrap_or_default() {
            let name = process.file_name().unwrap_or_default();
            if !name.as_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            let links = ["exe", "cwd", "root"].map(|link| process.join(link));
            for link in links.into_iter().chain(children(&process.join("fd")).unwrap_or_default()) {
                if let Some(object) = fs::read_link(&link).ok().and_then(|target| self.object_of(&target)) {
                    roots.push((Root::InUse(link), object));
                }
            }
            let maps = fs::read(process.join("maps")).unwrap_or_default();
            for line in maps.split(|&byte| byte == b'\n') {
                let Some(start) = line.iter().position(|&byte| byte == b'/') else { continue };
                let file = Path::new(std::ffi::OsStr::from_bytes(&line[start..]));
                if let Some(object) = self.object_of(file) {
                    roots.push((Root::InUse(process.join("maps")), object));
                }
            }
        }
        roots
    }
}

/// The paths in a directory; none if there is no such directory.
fn children(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry.map_err(StoreError::io("read directory", directory))?.path())).collect()
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(Vec::new())
        }
        Err(error) => Err(StoreError::io("read directory", directory)(error)),
    }
}

/// Makes a symlink, in place of the one that is there.
fn replace_link(target: &Path, link: &Path) -> Result<(), StoreError> {
    if fs::read_link(link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    let parent = link.parent().unwrap_or(Path::new("/"));
    create_dir(parent)?;
    let mut temporary = link.as_os_str().to_owned();
    temporary.push(format!(".tmp-{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    symlink(target, &temporary).map_err(StoreError::io("create symlink", &temporary))?;
    fs::rename(&temporary, link).map_err(StoreError::io("create symlink", link))
}
