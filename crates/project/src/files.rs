//! Reading files for the evaluator: of the built-in set, of the store, of the machine.
//!
//! A standalone store lies in some directory, while paths in expressions and links in objects say `/nix/store`. So a
//! path below `/nix/store` is walked component by component, and a link that leads back there is followed there.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use eval::{FileType, HostError};
use nix_formats::store_path::StorePath;

use crate::elsewhere::Elsewhere;
use crate::embedded::{self, Embedded};

const STORE_DIR: &str = "/nix/store";
/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// What may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything that the user may read.
    Machine,
    /// The store and the built-in set: pure evaluation.
    StoreOnly,
    /// Store objects, the built-in set, and what is below these paths, links followed: restricted evaluation.
    Below(Vec<PathBuf>),
}

impl Access {
    /// What a restricted evaluation may read: what is below the paths of the search path, wherever links lead there.
    pub(crate) fn below(paths: impl Iterator<Item = PathBuf>) -> Self {
        let both = paths.filter(|path| path.is_absolute()).flat_map(|path| {
            let real = path.canonicalize().ok().filter(|real| *real != path);
            std::iter::once(path).chain(real)
        });
        Self::Below(both.collect())
    }
}

/// The files that an evaluation sees.
pub(crate) struct Files {
    /// Where the store's objects lie.
    pub(crate) store_directory: PathBuf,
    pub(crate) access: Access,
    pub(crate) elsewhere: Elsewhere,
}

impl Files {
    pub(crate) fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        if embedded::covers(path) {
            return match embedded::find(path) {
                Some(Embedded::File(content)) => Ok(content.to_vec()),
                Some(Embedded::Directory(_)) => Err(HostError::Failed(format!("'{}' is a directory", path.display()))),
                None => Err(HostError::NotFound(path.to_owned())),
            };
        }
        fs::read(self.locate(path, true)?).map_err(explain("read", path))
    }

    pub(crate) fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        if embedded::covers(path) {
            return match embedded::find(path) {
                Some(Embedded::Directory(entries)) => {
                    Ok(entries.into_iter().map(|(name, kind)| (name.as_bytes().to_vec(), kind)).collect())
                }
                Some(Embedded::File(_)) => Err(HostError::Failed(format!("'{}' is no directory", path.display()))),
                None => Err(HostError::NotFound(path.to_owned())),
            };
        }
        let entries = fs::read_dir(self.locate(path, true)?).map_err(explain("list", path))?;
        entries
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().into_vec(), kind_of(entry.file_type()?)))
            })
            .collect::<io::Result<_>>()
            .map_err(explain("list", path))
    }

    pub(crate) fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        if embedded::covers(path) {
            return Ok(embedded::find(path).map(|found| match found {
                Embedded::File(_) => FileType::Regular,
                Embedded::Directory(_) => FileType::Directory,
            }));
        }
        let located = match self.locate(path, false) {
            Err(HostError::NotFound(_)) => return Ok(None),
            other => other?,
        };
        match fs::symlink_metadata(located) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(explain("look at", path)(error)),
        }
    }

    pub(crate) fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        fs::read_link(self.locate(path, false)?).map_err(explain("read the link", path))
    }

    /// Where the file really is. A link at the path's end is followed if `follow`.
    pub(crate) fn locate(&self, path: &Path, follow: bool) -> Result<PathBuf, HostError> {
        if path.starts_with(STORE_DIR) {
            return self.locate_in_store(path, follow);
        }
        match &self.access {
            Access::Machine => {}
            Access::StoreOnly if Path::new(STORE_DIR).starts_with(path) => {}
            Access::StoreOnly => {
                return Err(HostError::Refused(format!(
                    "access to '{}' is not allowed in pure evaluation; a flake sees only its own files and inputs \
                     (--impure lifts this)",
                    path.display()
                )));
            }
            Access::Below(allowed) => check_below(allowed, path, follow)?,
        }
        Ok(path.to_owned())
    }

    fn locate_in_store(&self, path: &Path, follow: bool) -> Result<PathBuf, HostError> {
        let mut logical = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.walk(&logical, follow)? {
                Walk::Arrived(real) => return Ok(real),
                Walk::Continue(next) if next.starts_with(STORE_DIR) => logical = next,
                Walk::Continue(next) => return self.locate(&next, follow),
            }
        }
        Err(HostError::Failed(format!("'{}' leads through too many symbolic links", path.display())))
    }

    /// Walks to the first link that must be followed, or to the end.
    fn walk(&self, logical: &Path, follow: bool) -> Result<Walk, HostError> {
        let below = logical.strip_prefix(STORE_DIR).unwrap_or(logical);
        let mut parts = below.components();
        let Some(Component::Normal(object)) = parts.next() else {
            // Which objects there are is no business of an expression that is not trusted.
            return match self.access {
                Access::Below(_) => Err(restricted(logical)),
                _ => Ok(Walk::Arrived(self.store_directory.clone())),
            };
        };
        let Ok(object) = StorePath::from_base_name(object.as_bytes()) else {
            return Err(HostError::NotFound(logical.to_owned()));
        };
        let mut real = self.store_directory.join(self.elsewhere.path_of(&object).base_name());
        let mut done = Path::new(STORE_DIR).join(object.base_name());
        let rest: Vec<&OsStr> = parts.map(Component::as_os_str).collect();
        for index in 0..=rest.len() {
            let is_last = index == rest.len();
            if (!is_last || follow) && fs::symlink_metadata(&real).is_ok_and(|metadata| metadata.is_symlink()) {
                let link = fs::read_link(&real).map_err(explain("read the link", &done))?;
                let parent = done.parent().unwrap_or(Path::new("/"));
                let next = rest[index..].iter().fold(normalize(&parent.join(link)), |path, part| path.join(part));
                return Ok(Walk::Continue(next));
            }
            if let Some(part) = rest.get(index) {
                real.push(part);
                done.push(part);
            }
        }
        Ok(Walk::Arrived(real))
    }
}

/// Refuses what is not below one of the paths, links followed. What leads to one of them may be looked at, not read.
fn check_below(allowed: &[PathBuf], path: &Path, follow: bool) -> Result<(), HostError> {
    let leads_there = |path: &Path| allowed.iter().any(|root| root.starts_with(path));
    let is_below = |path: &Path| allowed.iter().any(|root| path.starts_with(root));
    let real = match (follow, path.parent(), path.file_name()) {
        (false, Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
        _ => path.canonicalize(),
    };
    // Of what is not there only the name can be judged.
    let real = real.unwrap_or_else(|_| normalize(path));
    if is_below(&real) || (!follow && leads_there(&real)) { Ok(()) } else { Err(restricted(path)) }
}

fn restricted(path: &Path) -> HostError {
    HostError::Refused(format!(
        "access to '{}' is forbidden in restricted evaluation: it is not below the search path (-I, NIX_PATH)",
        path.display()
    ))
}

enum Walk {
    Arrived(PathBuf),
    /// The logical path to go on with.
    Continue(PathBuf),
}

/// Takes `.` and `..` out by their names alone, which is right where no link is left in the path before them.
fn normalize(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, component| {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
        clean
    })
}

fn kind_of(kind: fs::FileType) -> FileType {
    match () {
        () if kind.is_file() => FileType::Regular,
        () if kind.is_dir() => FileType::Directory,
        () if kind.is_symlink() => FileType::Symlink,
        () => FileType::Unknown,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// For `map_err`: what was tried on which path.
pub(crate) fn explain(action: &str, path: &Path) -> impl FnOnce(io::Error) -> HostError {
    move |error| match is_absent(&error) {
        true => HostError::NotFound(path.to_owned()),
        false => HostError::Failed(format!("cannot {action} '{}': {error}", path.display())),
    }
}
