//! A binary cache in a directory (`file://` in Nix).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::Transport;

/// A cache in a directory.
pub struct Directory {
    path: PathBuf,
    address: String,
}

impl Directory {
    /// The cache in this directory.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), address: format!("file://{}", path.display()) }
    }
}

impl Transport for Directory {
    fn address(&self) -> &str {
        &self.address
    }

    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let name = Path::new(name);
        if !name.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name leads out of the cache"));
        }
        match File::open(self.path.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
