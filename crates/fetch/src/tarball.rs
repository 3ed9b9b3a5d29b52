//! Files and archives at an address.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::flake_ref::{FlakeRef, Scheme};
use nix_formats::hash::{Hash, HashAlgo, HashWriter};
use nix_formats::store_path::{self, StorePath};
use serde::{Deserialize, Serialize};
use store::fs_nar::{self, everything};
use store::progress::{Activity, Outcome, Task};

use crate::archive;
use crate::download::Counted;
use crate::network::Secret;
use crate::{FetchError, Fetcher, Tree};

/// What an address gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fetched {
    pub path: StorePath,
    /// The latest modification time in an archive.
    pub last_modified: Option<u64>,
    /// The address that always gives the same, if there is one.
    pub immutable: Option<String>,
    /// When it was fetched, in seconds since 1970.
    time: u64,
}

impl Fetcher {
    /// The file at an address as a store object (`builtins.fetchurl`); `expected` is the hash of its bytes.
    pub fn file(&self, url: &str, name: &str, expected: Option<&Hash>) -> Result<StorePath, FetchError> {
        if let Some(hash) = expected {
            let address = ContentAddress { method: Method::Flat, hash: *hash };
            let path = address.store_path(name, [], false).map_err(store::StoreError::from)?;
            if self.obtain(&path)? {
                return Ok(path);
            }
            return Ok(self.fetch_file(url, name, Some(hash))?.path);
        }
        // As with archives, what is on this machine is looked at again each time.
        if !url.starts_with("http") {
            return Ok(self.fetch_file(url, name, None)?.path);
        }
        Ok(self.fresh(&format!("file {name} {url}"), || self.fetch_file(url, name, None))?.path)
    }

    /// The tree in the archive at an address (`builtins.fetchTarball`); `expected` is the SHA-256 of its NAR.
    pub fn tarball(&self, url: &str, name: &str, expected: Option<&Hash>) -> Result<StorePath, FetchError> {
        let Some(hash) = expected else {
            return Ok(self.fresh_tarball(url, name)?.path);
        };
        let path = store_path::source_path(name, hash, [], false)?;
        if self.obtain(&path)? {
            return Ok(path);
        }
        let fetched = self.fetch_tarball(url, name, &[])?;
        self.check_hash(url, &fetched.path, hash)?;
        Ok(fetched.path)
    }

    pub(crate) fn tarball_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let url = reference.text("url").unwrap_or_default();
        let fetched =
            if reference.is_locked() { self.fetch_tarball(url, name, &[])? } else { self.fresh_tarball(url, name)? };
        let mut locked = reference.clone();
        if let Some(immutable) = &fetched.immutable {
            let named = FlakeRef::parse(immutable)?;
            if named.scheme() != Scheme::Tarball {
                let message = format!("the server says that it is always at '{immutable}', which is no archive");
                return Err(FetchError::Download { url: url.to_owned(), message });
            }
            for (attribute, value) in named.attrs() {
                locked = locked.with(attribute, Some(value.clone()));
            }
        }
        let last_modified = locked.number("lastModified").or(fetched.last_modified);
        let tree = self.tree_of(fetched.path, locked.clone().with("narHash", None), last_modified)?;
        tree.check(&locked)?;
        Ok(tree)
    }

    pub(crate) fn file_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let url = reference.text("url").unwrap_or_default();
        let fetch = || {
            let scratch = self.scratch()?;
            let file = scratch.path().join("file");
            self.spool(url, &file, HashAlgo::Sha256)?;
            let path = self.store.add_tree(name, &file, Method::Nar, HashAlgo::Sha256, &mut everything)?;
            Ok(Fetched { path, last_modified: None, immutable: None, time: now() })
        };
        // As with archives, what is on this machine is looked at again each time.
        let fetched = match url.starts_with("http") && !reference.is_locked() {
            true => self.fresh(&format!("file-tree {name} {url}"), fetch)?,
            false => fetch()?,
        };
        self.tree_of(fetched.path, reference.clone(), None)
    }

    /// Whether what a server said at that time is still taken to be true.
    pub(crate) fn is_fresh(&self, time: u64) -> bool {
        now().saturating_sub(time) < self.settings.lifetime.0
    }

    /// What is noted for an address if that is fresh, or if nothing else can be had; else what `fetch` gives.
    fn fresh(&self, key: &str, fetch: impl FnOnce() -> Result<Fetched, FetchError>) -> Result<Fetched, FetchError> {
        let noted = match self.noted::<Fetched>(key) {
            Some(noted) if self.is_kept(&noted.path)? => Some(noted),
            _ => None,
        };
        match noted {
            Some(noted) if self.settings.offline || self.is_fresh(noted.time) => Ok(noted),
            noted => match (fetch(), noted) {
                (Ok(fetched), _) => {
                    self.note(key, &fetched);
                    Ok(fetched)
                }
                (Err(error), Some(noted)) if matches!(error, FetchError::Download { .. }) && !error.says_no() => {
                    self.progress.warn(&format!("{error}; what was there before is used"));
                    Ok(noted)
                }
                (Err(error), _) => Err(error),
            },
        }
    }

    fn fresh_tarball(&self, url: &str, name: &str) -> Result<Fetched, FetchError> {
        // What is on this machine is looked at again each time: it costs little, and may have changed.
        if !url.starts_with("http") {
            return self.fetch_tarball(url, name, &[]);
        }
        self.fresh(&format!("tarball {name} {url}"), || self.fetch_tarball(url, name, &[]))
    }

    /// Downloads an archive, unpacking it while it comes.
    pub(crate) fn fetch_tarball(&self, url: &str, name: &str, secrets: &[Secret]) -> Result<Fetched, FetchError> {
        let download = self.open(url, secrets)?;
        let scratch = self.scratch()?;
        let task = Task::start(&*self.progress, Activity::Download, url, download.size);
        let destination = scratch.path().join("tree");
        let newest = archive::unpack(Counted { inner: download.stream, task: &task }, &destination)
            .map_err(|message| FetchError::Archive { url: url.to_owned(), message })?;
        task.finish(Outcome::Done);
        let tree = archive::only_directory(destination.clone()).map_err(FetchError::io("read", destination))?;
        let path = self.store.add_tree(name, &tree, Method::Nar, HashAlgo::Sha256, &mut everything)?;
        // Archives may hold directories that their owner may not write to; the deletion of the scratch would fail.
        fs_nar::remove(&tree)?;
        Ok(Fetched { path, last_modified: Some(newest), immutable: download.immutable, time: now() })
    }

    fn fetch_file(&self, url: &str, name: &str, expected: Option<&Hash>) -> Result<Fetched, FetchError> {
        let scratch = self.scratch()?;
        let file = scratch.path().join("file");
        let algo = expected.map_or(HashAlgo::Sha256, Hash::algo);
        let hash = self.spool(url, &file, algo)?;
        if let Some(expected) = expected.filter(|expected| **expected != hash) {
            let what = url.to_owned();
            return Err(FetchError::HashMismatch { what, expected: (*expected).into(), actual: hash.into() });
        }
        let path = self.store.add_tree(name, &file, Method::Flat, algo, &mut everything)?;
        Ok(Fetched { path, last_modified: None, immutable: None, time: now() })
    }

    /// Downloads to a file, and hashes on the way.
    fn spool(&self, url: &str, file: &Path, algo: HashAlgo) -> Result<Hash, FetchError> {
        let task = Task::start(&*self.progress, Activity::Download, url, None);
        let created = std::fs::File::create_new(file).map_err(FetchError::io("create", file))?;
        let mut out = HashWriter::new(algo, created);
        self.download(url, &mut out, &mut |bytes| task.advance(bytes))?;
        task.finish(Outcome::Done);
        Ok(out.finish().0)
    }

    fn check_hash(&self, what: &str, path: &StorePath, expected: &Hash) -> Result<(), FetchError> {
        let actual = self.store.require(path)?.nar_hash;
        if actual == *expected {
            return Ok(());
        }
        let what = what.to_owned();
        Err(FetchError::HashMismatch { what, expected: (*expected).into(), actual: actual.into() })
    }
}

/// The time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
