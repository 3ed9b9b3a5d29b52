//! Copies of source trees into the store.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use eval::{CopyPath, FileType, HostError};
use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use store::fs_nar::{self, FileKind, FilterStopped};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::embedded::{self, Embedded};
use crate::files::{Files, explain};
use crate::services::Services;

/// Copies trees into the store, or only computes what their store paths would be.
pub(crate) struct Sources {
    /// Whether copies are really made.
    pub(crate) write: bool,
    /// What was copied whole in this evaluation: an expression often names one directory many times.
    copied: Mutex<HashMap<(PathBuf, String, bool), StorePath>>,
}

impl Sources {
    pub(crate) fn new(write: bool) -> Self {
        Self { write, copied: Mutex::default() }
    }

    pub(crate) fn copy(
        &self,
        files: &Files,
        services: &Services,
        progress: &dyn Progress,
        copy: CopyPath<'_>,
    ) -> Result<StorePath, HostError> {
        if let Some(path) = copy.expected.and_then(|hash| expected_path(&copy, hash)) {
            let store = &services.open().map_err(failed)?.store;
            store.add_temp_root(&path).map_err(failed)?;
            if store.is_valid(&path).map_err(failed)? {
                return Ok(path);
            }
        }
        let key = (copy.source.to_owned(), copy.name.to_owned(), copy.method == Method::Flat);
        if copy.filter.is_none()
            && let Some(path) = self.copied.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Ok(path.clone());
        }
        let filtered = copy.filter.is_some();
        let path = self.copy_anew(files, services, progress, copy)?;
        if !filtered {
            self.copied.lock().unwrap_or_else(PoisonError::into_inner).insert(key, path.clone());
        }
        Ok(path)
    }

    fn copy_anew(
        &self,
        files: &Files,
        services: &Services,
        progress: &dyn Progress,
        copy: CopyPath<'_>,
    ) -> Result<StorePath, HostError> {
        let CopyPath { source, name, method, filter, expected } = copy;
        // What is embedded must first be on a disk.
        let scratch;
        let real = if embedded::covers(source) {
            scratch = tempfile::tempdir().map_err(explain("make a directory for", source))?;
            let target = scratch.path().join("tree");
            write_embedded(source, &target)?;
            target
        } else {
            files.locate(source, true)?
        };
        let mut stopped = None;
        let mut filter = filter;
        let mut wanted = |path: &Path, kind: FileKind| match &mut filter {
            None => Ok(true),
            Some(filter) => {
                // The filter sees the names that the expression uses.
                let logical = path.strip_prefix(&real).map_or_else(|_| source.to_owned(), |rest| source.join(rest));
                filter(&logical, kind_of(kind)).map_err(|error| {
                    stopped = Some(error);
                    FilterStopped
                })
            }
        };
        let task = Task::start(progress, Activity::Copy, name, None);
        let made = match self.write {
            true => {
                let store = &services.open().map_err(failed)?.store;
                store.add_tree(name, &real, method, HashAlgo::Sha256, &mut wanted).map_err(failed)
            }
            false => compute_path(name, &real, method, &mut wanted),
        };
        // A filter that failed has the better story to tell.
        let path = match stopped {
            Some(error) => return Err(error),
            None => made?,
        };
        task.finish(Outcome::Done);
        check_expected(source, name, method, expected, &path)?;
        Ok(path)
    }
}

fn expected_path(copy: &CopyPath<'_>, hash: &Hash) -> Option<StorePath> {
    content_path(copy.name, copy.method, *hash).ok()
}

fn content_path(name: &str, method: Method, hash: Hash) -> Result<StorePath, HostError> {
    let address = ContentAddress { method, hash };
    address.store_path(name, [], false).map_err(failed)
}

fn check_expected(
    source: &Path,
    name: &str,
    method: Method,
    expected: Option<&Hash>,
    path: &StorePath,
) -> Result<(), HostError> {
    let Some(hash) = expected else { return Ok(()) };
    if content_path(name, method, *hash)? == *path {
        return Ok(());
    }
    Err(HostError::Failed(format!(
        "'{}' does not have the hash {} that was announced",
        source.display(),
        hash.to_sri()
    )))
}

pub(crate) fn compute_path(
    name: &str,
    real: &Path,
    method: Method,
    filter: &mut fs_nar::Filter<'_>,
) -> Result<StorePath, HostError> {
    let hash = match method {
        Method::Flat => Hash::of(HashAlgo::Sha256, &fs::read(real).map_err(explain("read", real))?),
        _ => fs_nar::hash(real, filter, HashAlgo::Sha256).map_err(failed)?.0,
    };
    content_path(name, method, hash)
}

fn kind_of(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::Regular,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        _ => FileType::Unknown,
    }
}

fn write_embedded(source: &Path, target: &Path) -> Result<(), HostError> {
    match embedded::find(source) {
        Some(Embedded::File(content)) => fs::write(target, content).map_err(explain("write", target)),
        Some(Embedded::Directory(entries)) => {
            fs::create_dir(target).map_err(explain("create", target))?;
            entries.keys().try_for_each(|name| write_embedded(&source.join(name), &target.join(name)))
        }
        None => Err(HostError::NotFound(source.to_owned())),
    }
}

fn failed(error: impl std::fmt::Display) -> HostError {
    HostError::Failed(error.to_string())
}
