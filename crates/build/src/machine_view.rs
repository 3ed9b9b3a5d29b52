//! A builder that sees the machine: `__noChroot` with `--sandbox=relaxed`, and all with `--sandbox=off`.
//!
//! The store's objects must be at `/nix/store`, wherever they lie, so such a builder has namespaces too; but in them are
//! the machine's files, its network and the user's own ids.

use std::fs;
use std::path::{Path, PathBuf};

use nix_formats::STORE_DIR;
use sandbox::{Entry, Identity, Mount, standard_devices};

use crate::environment::BUILD_DIRECTORY;
use crate::error::BuildError;

/// What is in every root and not the machine's.
const OWN: [&str; 4] = ["/nix", "/proc", "/dev", BUILD_DIRECTORY];

/// The machine's files, but for its store.
pub(crate) fn mounts() -> Result<Vec<Mount>, BuildError> {
    let mut mounts = Vec::new();
    let entries = fs::read_dir("/").map_err(BuildError::file("list", "/"))?;
    for entry in entries {
        let path: PathBuf = entry.map_err(BuildError::file("list", "/"))?.path();
        if OWN.iter().any(|own| path == Path::new(own)) {
            continue;
        }
        mounts.push(match fs::read_link(&path) {
            Ok(target) => Mount::new(path, Entry::Symlink(target)),
            Err(_) => Mount::writable(path.clone(), path),
        });
    }
    mounts.push(Mount::new("/proc", Entry::Proc));
    mounts.extend(standard_devices(None));
    mounts.push(Mount::new(Path::new(STORE_DIR).parent().unwrap_or(Path::new("/")), Entry::Directory(0o755)));
    Ok(mounts)
}

/// The user's own ids.
pub(crate) fn identity() -> Identity {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Identity { user, group, groups: Vec::new() }
}
