//! `path:` references: a directory as it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix_formats::content_address::Method;
use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::everything;
use store::progress::{Activity, Outcome, Task};

use crate::reference::shown;
use crate::tree::lock_to;
use crate::{FetchError, Fetcher, Tree};

impl Fetcher {
    pub(crate) fn path_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let path = PathBuf::from(reference.text("path").unwrap_or_default());
        if !path.is_absolute() {
            let reason = "a relative path has a meaning only as an input of another flake";
            return Err(FetchError::Unsupported { what: shown(reference), reason });
        }
        if let Some(tree) = self.store_object(&path, reference)? {
            return Ok(tree);
        }
        let last_modified = match reference.number("lastModified") {
            Some(time) => time,
            None => newest(&path)?,
        };
        let task = Task::start(&*self.progress, Activity::Copy, &path.to_string_lossy(), None);
        let copied = self.store.add_tree(name, &path, Method::Nar, HashAlgo::Sha256, &mut everything)?;
        task.finish(Outcome::Done);
        self.tree_of(copied, reference.clone(), Some(last_modified))
    }

    /// A path that is a whole store object already is not copied.
    fn store_object(&self, path: &Path, reference: &FlakeRef) -> Result<Option<Tree>, FetchError> {
        let Ok(object) = StorePath::from_absolute(path.as_os_str().as_encoded_bytes()) else { return Ok(None) };
        if !self.store.is_valid(&object)? {
            return Ok(None);
        }
        self.store.add_temp_root(&object)?;
        let last_modified = reference.number("lastModified").unwrap_or(1);
        self.tree_of(object, reference.clone(), Some(last_modified)).map(Some)
    }

    /// The tree of a valid object, its reference locked to it.
    pub(crate) fn tree_of(
        &self,
        path: StorePath,
        reference: FlakeRef,
        last_modified: Option<u64>,
    ) -> Result<Tree, FetchError> {
        let hash = self.store.require(&path)?.nar_hash;
        Ok(Tree { path, locked: lock_to(reference, &hash, last_modified) })
    }
}

/// The latest modification time in a tree, in seconds since 1970.
fn newest(path: &Path) -> Result<u64, FetchError> {
    let metadata = path.symlink_metadata().map_err(FetchError::io("read", path))?;
    let mut newest = u64::try_from(metadata.mtime()).unwrap_or(0);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(FetchError::io("read directory", path))? {
            let entry = entry.map_err(FetchError::io("read directory", path))?;
            newest = newest.max(self::newest(&entry.path())?);
        }
    }
    Ok(newest)
}
