//! What was found out before: small files in the cache's directory. Losing one costs time, never correctness.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{FetchError, Fetcher};

impl Fetcher {
    /// A directory in the cache for one fetch.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir, FetchError> {
        let directory = &self.settings.cache;
        fs::create_dir_all(directory).map_err(FetchError::io("create directory", directory))?;
        tempfile::tempdir_in(directory).map_err(FetchError::io("create a directory in", directory))
    }

    /// The store path that is noted under `key`, if it is valid; else what `make` gives, which is noted.
    pub(crate) fn cached_path(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<StorePath, FetchError>,
    ) -> Result<StorePath, FetchError> {
        if let Some(path) = self.noted::<StorePath>(key)
            && self.is_kept(&path)?
        {
            return Ok(path);
        }
        let path = make()?;
        self.note(key, &path);
        Ok(path)
    }

    /// As [`Fetcher::cached_path`], for a number that cannot change.
    pub(crate) fn cached_number(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<u64, FetchError>,
    ) -> Result<u64, FetchError> {
        if let Some(number) = self.noted(key) {
            return Ok(number);
        }
        let number = make()?;
        self.note(key, &number);
        Ok(number)
    }

    /// Is the path valid? If so, it stays valid.
    pub(crate) fn is_kept(&self, path: &StorePath) -> Result<bool, FetchError> {
        self.store.add_temp_root(path)?;
        Ok(self.store.is_valid(path)?)
    }

    /// What is noted under `key`.
    pub(crate) fn noted<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.note_file(key)).ok()?).ok()
    }

    /// Notes a value. That it cannot be is no error: then it is found out again.
    pub(crate) fn note(&self, key: &str, value: &impl Serialize) {
        let file = self.note_file(key);
        let write = || -> Option<()> {
            let directory = file.parent()?;
            fs::create_dir_all(directory).ok()?;
            let mut temporary = tempfile::NamedTempFile::new_in(directory).ok()?;
            temporary.write_all(&serde_json::to_vec(value).ok()?).ok()?;
            temporary.persist(&file).ok()?;
            Some(())
        };
        let _ = write();
    }

    fn note_file(&self, key: &str) -> PathBuf {
        let name = Hash::of(HashAlgo::Sha256, key.as_bytes()).to_nix32();
        self.settings.cache.join("notes").join(format!("{name}.json"))
    }
}
