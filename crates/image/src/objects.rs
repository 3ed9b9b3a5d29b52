//! Where store objects are on this machine, and what a path inside `/nix/store` leads to.

use std::fs::{self, Metadata};
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix_formats::store_path::StorePath;
use store::Store;

use crate::elsewhere::Elsewhere;
use crate::error::{ImageError, io_error};
use crate::stream::BlobReader;

/// The prefix of every store path.
pub const STORE_DIR: &str = "/nix/store";

/// More links in a row than this are a cycle, as in the kernel.
const MAX_LINKS: usize = 40;

/// The directory that holds a store's objects, which outside a sandbox need not be `/nix/store`; and where those are that it
/// does not hold.
#[derive(Clone, Debug)]
pub struct Objects {
    directory: Arc<Path>,
    elsewhere: Option<Arc<Elsewhere>>,
}

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
        Self { directory: directory.into().into(), elsewhere: None }
    }

    /// The objects of the store that has this one.
    pub fn of_store(store: &dyn Store, object: &StorePath) -> Self {
        let mut directory = store.real_path(object);
        directory.pop();
        Self::new(directory)
    }

    /// With objects that are not in the directory.
    pub(crate) fn and_elsewhere(self, elsewhere: Elsewhere) -> Self {
        Self { elsewhere: Some(Arc::new(elsewhere)), ..self }
    }

    /// Whether there may be objects that are not in the directory.
    pub(crate) fn may_be_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Where an object is.
    pub fn real_path(&self, object: &StorePath) -> PathBuf {
        self.directory.join(object.base_name())
    }

    /// The NAR of an object that is not in the directory.
    pub(crate) fn nar(&self, object: &StorePath) -> Option<BufReader<BlobReader>> {
        let elsewhere = self.elsewhere.as_ref()?;
        self.real_path(object).symlink_metadata().is_err().then(|| elsewhere.nar(object))
    }

    /// Where a path below `/nix/store` is. Its links are not followed.
    ///
    /// # Errors
    /// The path is not below `/nix/store`, or leads out of it; an object that is elsewhere cannot be read.
    pub fn locate(&self, path: &Path) -> Result<PathBuf, ImageError> {
        let outside = || ImageError::Definition(format!("{} is not in {STORE_DIR}", path.display()));
        self.place(inside(path).ok_or_else(outside)?)
    }

    /// Where a path is that is relative to the store's directory.
    fn place(&self, relative: &Path) -> Result<PathBuf, ImageError> {
        let here = self.directory.join(relative);
        let Some(elsewhere) = &self.elsewhere else { return Ok(here) };
        let base = relative.components().next().and_then(|base| base.as_os_str().to_str());
        let Some(object) = base.and_then(|base| StorePath::from_base_name(base).ok()) else {
            return Ok(here);
        };
        if self.real_path(&object).symlink_metadata().is_ok() {
            return Ok(here);
        }
        let rest = relative.strip_prefix(object.base_name()).unwrap_or(Path::new(""));
        let outline = elsewhere.outline(&object)?;
        Ok(outline.map_or(here, |outline| if rest.as_os_str().is_empty() { outline } else { outline.join(rest) }))
    }

    /// The path below `/nix/store` of a file on this machine: the reverse of [`Objects::locate`].
    ///
    /// # Errors
    /// The file is not in the store.
    pub fn path_in_store(&self, real: &Path) -> Result<PathBuf, ImageError> {
        let relative = real.strip_prefix(&self.directory);
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
            let Some(relative) = inside(&next) else {
                if !Path::new(STORE_DIR).starts_with(&next) {
                    return Ok(None);
                }
                done = next;
                continue;
            };
            let real = self.place(relative)?;
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

/// A path below `/nix/store` without that.
fn inside(path: &Path) -> Option<&Path> {
    let relative = path.strip_prefix(STORE_DIR).ok()?;
    let is_plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
    (is_plain && relative.components().next().is_some()).then_some(relative)
}

/// The names of a path, the last one first; `..` is kept.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    let mut names: Vec<_> = names.map(|c| c.as_os_str().to_owned()).collect();
    names.reverse();
    names
}
