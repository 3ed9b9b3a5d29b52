//! The running binary as a store object: `pkgs.wharf` of the built-in set, and the shell of every sandbox.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::Store;

use crate::error::Error;

/// The store object `…-wharf` with `bin/wharf`, a copy of `binary`.
///
/// Hashing the binary takes a while, so a note in `cache` remembers the object of a file by its size, time of change
/// and inode.
pub(crate) fn store_object(store: &dyn Store, binary: &Path, cache: &Path) -> Result<StorePath, Error> {
    let identity = identity(binary)?;
    let note = cache.join("own-binary");
    if let Some(path) = remembered(&note, &identity)
        && store.is_valid(&path)?
    {
        store.add_temp_root(&path)?;
        return Ok(path);
    }
    let path = add(store, binary)?;
    // Without the note the next start is slower, and nothing else.
    let _ = remember(&note, &format!("{identity}\n{}\n", path.to_absolute()));
    Ok(path)
}

/// What tells the binary from others without reading it.
pub(crate) fn identity(binary: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(binary).map_err(Error::io("read", binary))?;
    Ok(format!(
        "{} {} {} {} {}",
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.dev(),
        metadata.ino()
    ))
}

fn remembered(note: &Path, identity: &str) -> Option<StorePath> {
    let text = fs::read_to_string(note).ok()?;
    let (known, path) = text.trim_end().split_once('\n')?;
    (known == identity).then(|| StorePath::from_absolute(path).ok()).flatten()
}

fn remember(note: &Path, text: &str) -> std::io::Result<()> {
    let dir = note.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(note)?;
    Ok(())
}

fn add(store: &dyn Store, binary: &Path) -> Result<StorePath, Error> {
    let tree = tempfile::tempdir().map_err(Error::io("make a directory in", &std::env::temp_dir()))?;
    let bin = tree.path().join("bin");
    let copy: PathBuf = bin.join("wharf");
    fs::create_dir(&bin)
        .and_then(|()| fs::copy(binary, &copy))
        .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)))
        .map_err(Error::io("copy", binary))?;
    Ok(store.add_tree("wharf", tree.path(), Method::Nar, HashAlgo::Sha256, &mut |_, _| Ok(true))?)
}
