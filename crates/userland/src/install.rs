//! Links that make a directory of programs out of the one binary.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Why the links could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct InstallError {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// Makes `prefix/bin/NAME`, a symbolic link to `binary`, for each applet. What is there already is an error.
pub fn install_links(binary: &Path, prefix: &Path) -> Result<(), InstallError> {
    let bin = prefix.join("bin");
    std::fs::create_dir_all(&bin).map_err(|source| InstallError {
        action: "create the directory",
        path: bin.clone(),
        source,
    })?;
    for name in crate::names() {
        let link = bin.join(name);
        symlink(binary, &link).map_err(|source| InstallError { action: "create the link", path: link, source })?;
    }
    Ok(())
}
