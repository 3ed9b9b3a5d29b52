//! Keeping files that are the same only once, as Nix's `nix-store --optimise` does.
//!
//! Each file has a hard link in `ROOT/nix/store/.links`, named by the hash of its NAR; further ones are replaced by links
//! to it. Nix's own collection and ours delete a link there that is the last.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix_formats::hash::HashAlgo;
use rustix::fs::{AtFlags, CWD};

use super::LocalStore;
use crate::fs_nar::{self, everything};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{Store, StoreError};

/// What was gained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Optimised {
    /// Files that are now a link to another.
    pub files: u64,
    /// Bytes that are free because of it.
    pub bytes: u64,
}

impl LocalStore {
    /// Replaces files that are the same by hard links. Safe while others use the store.
    pub fn optimise(&self, progress: &dyn Progress) -> Result<Optimised, StoreError> {
        let paths = self.all_paths()?;
        let task = Task::start(progress, Activity::Verify, "files", Some(paths.len() as u64));
        let mut gained = Optimised::default();
        for path in &paths {
            // Kept from collection, and looked at only if it is still there.
            self.add_temp_root(path)?;
            if self.is_valid(path)? {
                self.optimise_below(&self.real_path(path), &mut gained)?;
            }
            task.advance(1);
        }
        task.finish(Outcome::Done);
        Ok(gained)
    }

    fn optimise_below(&self, path: &Path, gained: &mut Optimised) -> Result<(), StoreError> {
        let metadata = path.symlink_metadata().map_err(StoreError::io("read", path))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(path).map_err(StoreError::io("read directory", path))? {
                let entry = entry.map_err(StoreError::io("read directory", path))?;
                self.optimise_below(&entry.path(), gained)?;
            }
            return Ok(());
        }
        // A file that somebody may write to is being changed, or was by mistake; linking it would spread that.
        if !metadata.is_file() || metadata.permissions().mode() & 0o222 != 0 || metadata.len() == 0 {
            return Ok(());
        }
        let (hash, _) = fs_nar::hash(path, &mut everything, HashAlgo::Sha256)?;
        let link = self.links_dir().join(hash.to_nix32());
        if self.links_to(path, &metadata, &link)? {
            gained.files += 1;
            gained.bytes += metadata.blocks() * 512;
        }
        Ok(())
    }

    fn links_dir(&self) -> PathBuf {
        self.store_dir().join(".links")
    }

    /// Makes `path` a link to `link`, or `link` one to it; whether it is another file now.
    fn links_to(&self, path: &Path, metadata: &fs::Metadata, link: &Path) -> Result<bool, StoreError> {
        let kept = match link.symlink_metadata() {
            Ok(kept) if kept.len() == metadata.len() => kept,
            Ok(_) => {
                // The file that was linked there has been damaged since.
                fs::remove_file(link).map_err(StoreError::io("delete", link))?;
                return self.keep(path, link);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.keep(path, link),
            Err(error) => return Err(StoreError::io("read", link)(error)),
        };
        if kept.ino() == metadata.ino() {
            return Ok(false);
        }
        let temporary = self.scratch()?;
        match fs::hard_link(link, &temporary) {
            Ok(()) => {}
            // So many files are the same that the file system counts no further.
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => return Ok(false),
            Err(error) => return Err(StoreError::io("link", link)(error)),
        }
        let replaced = rename_in_read_only(&temporary, path, self.store_dir());
        if replaced.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        replaced.map(|()| true)
    }

    fn keep(&self, path: &Path, link: &Path) -> Result<bool, StoreError> {
        match fs::hard_link(path, link) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::TooManyLinks) => {
                Err(StoreError::io("link", link)(error))
            }
            _ => Ok(false),
        }
    }
}

/// Renames into a directory of an object, which is made writable for that and then as it was again.
fn rename_in_read_only(from: &Path, to: &Path, store: &Path) -> Result<(), StoreError> {
    let directory = to.parent().unwrap_or(Path::new("/"));
    let failed = StoreError::io::<io::Error>;
    if directory == store {
        return fs::rename(from, to).map_err(failed("replace", to));
    }
    let set_mode = |mode| fs::set_permissions(directory, fs::Permissions::from_mode(mode));
    set_mode(0o755).map_err(failed("set the mode of", directory))?;
    let renamed = fs::rename(from, to).map_err(failed("replace", to));
    set_mode(0o555).map_err(failed("set the mode of", directory))?;
    rustix::fs::utimensat(CWD, directory, &fs_nar::TIMESTAMPS, AtFlags::empty())
        .map_err(StoreError::io("set the time of", directory))?;
    renamed
}
