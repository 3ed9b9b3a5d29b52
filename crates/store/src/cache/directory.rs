//! A binary cache in a directory (`file://` in Nix).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Transport, check_name};

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

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }
}

impl Transport for Directory {
    fn address(&self) -> &str {
        &self.address
    }

    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        match File::open(self.file(name)?) {
            Ok(file) if file.metadata()?.is_file() => Ok(Some(Box::new(file))),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.file(name)?.try_exists()
    }

    fn temporary(&self) -> io::Result<NamedTempFile> {
        fs::create_dir_all(&self.path)?;
        NamedTempFile::with_prefix_in(".tmp-", &self.path)
    }

    fn put(&self, name: &str, content: NamedTempFile) -> io::Result<()> {
        let file = self.file(name)?;
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        // Readable for all, as servers run as others.
        content.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        content.as_file().sync_all()?;
        content.persist(file).map_err(|error| error.error)?;
        Ok(())
    }
}
