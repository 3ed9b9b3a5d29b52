//! Where store objects are on this machine, and what a path inside `/nix/store` leads to.

use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix_formats::store_path::StorePath;
use store::Store;

use crate::error::{ImageError, io_error};

/// The prefix of every store path.
pub const STORE_DIR: &str = "/nix/store";

/// More links in a row than this are a cycle, as in the kernel.
const MAX_LINKS: usize = 40;

/// The directory that holds a store's objects, which outside a sandbox need not be `/nix/store`.
#[derive(Clone, Debug)]
pub struct Objects(Arc<Path>);

/// What a path inside the store leads to when all links are followed.
#[derive(Debug)]
pub struct Resolved {
    /// The path as it is inside a container.
    pub path: PathBuf,
    /// Where that is on this machine.
    pub real: PathBuf,
    /// What is there.
    pub metadata: Metadata,
}

impl Objects {
    /// The store whose objects are in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into().into())
    }

    /// The objects of the store that has this one.
    pub fn of_store(store: &dyn Store, object: &StorePath) -> Self {
        let mut directory = store.real_path(object);
        directory.pop();
        Self::new(directory)
    }

    /// Where an object is.
    pub fn real_path(&self, object: &StorePath) -> PathBuf {
        self.0.join(object.base_name())
    }

    /// Where a path below `/nix/store` is. Its links are not followed.
    ///
    /// # Errors
    /// The path is not below `/nix/store`, or leads out of it.
    pub fn locate(&self, path: &Path) -> Result<PathBuf, ImageError> {
        let outside = || ImageError::Definition(format!("{} is not in {STORE_DIR}", path.display()));
        let relative = path.strip_prefix(STORE_DIR).map_err(|_| outside())?;
        if relative.components().next().is_none() || relative.components().any(|c| !matches!(c, Component::Normal(_))) {
            return Err(outside());
        }
        Ok(self.0.join(relative))
    }

    /// The path below `/nix/store` of a file on this machine: the reverse of [`Objects::locate`].
    ///
    /// # Errors
    /// The file is not in the store.
    pub fn path_in_store(&self, real: &Path) -> Result<PathBuf, ImageError> {
        let relative = real.strip_prefix(&self.0);
        let outside = |_| ImageError::Definition(format!("{} is not in the store", real.display()));
        relative.map(|relative| Path::new(STORE_DIR).join(relative)).map_err(outside)
    }

    /// Follows every link of a path below `/nix/store`, as a process inside a container would.
    /// `None` where it leads out of the store, in circles, or to nothing.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn resolve(&self, path: &Path) -> Result<Option<Resolved>, ImageError> {
        let mut todo: Vec<_> = components(path);
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            let next = done.join(&name);
            let Ok(real) = self.locate(&next) else {
                if !Path::new(STORE_DIR).starts_with(&next) {
                    return Ok(None);
                }
                done = next;
                continue;
            };
            let metadata = match fs::symlink_metadata(&real) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(io_error(format!("cannot look at {}", next.display())))?,
            };
            if metadata.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                let target = fs::read_link(&real).map_err(io_error(format!("cannot read {}", next.display())))?;
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                todo.extend(components(&target));
            } else if todo.is_empty() {
                return Ok(Some(Resolved { path: next, real, metadata }));
            } else {
                done = next;
            }
        }
        Ok(None)
    }
}

/// The names of a path, the last one first; `..` is kept.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    let mut names: Vec<_> = names.map(|c| c.as_os_str().to_owned()).collect();
    names.reverse();
    names
}
