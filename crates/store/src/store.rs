//! What every store can do.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use nix_formats::content_address::Method;
use nix_formats::derivation::{Derivation, ParseError};
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;

use crate::fs_nar::{self, Filter};
use crate::{PathInfo, StoreError};

/// A store. Calls may come from many threads, and other processes may work on the same store at the same time.
pub trait Store: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> String;

    /// What is known of an object; `None` if it is not in the store.
    fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError>;

    /// Is the object in the store, whole?
    fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError>;

    /// The object whose path starts with these 32 characters.
    fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError>;

    /// The valid objects that refer to this one, itself left out.
    fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError>;

    /// Where the object lies in the file system. The path need not be valid.
    fn real_path(&self, path: &StorePath) -> PathBuf;

    /// Keeps an object, valid or not, from being collected while this process lives.
    fn add_temp_root(&self, path: &StorePath) -> Result<(), StoreError>;

    /// Those of many objects that are not in the store, in their order. All are kept from being collected while this process
    /// lives, as by [`Store::add_temp_root`].
    fn absent(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        let mut absent = Vec::new();
        for path in paths {
            self.add_temp_root(path)?;
            if !self.is_valid(path)? {
                absent.push(path.clone());
            }
        }
        Ok(absent)
    }

    /// Adds a text with its references (`builtins.toFile`, `.drv` files).
    fn add_text(&self, name: &str, content: &[u8], references: &BTreeSet<StorePath>) -> Result<StorePath, StoreError>;

    /// Adds a tree, content-addressed by `method` and `algo`. What `filter` refuses is left out.
    ///
    /// With [`Method::Nar`] and SHA-256 this is what a path in an expression becomes. [`Method::Flat`] takes one
    /// regular file. Symlinks are copied, not followed, except that `source` itself is taken as it is.
    fn add_tree(
        &self,
        name: &str,
        source: &Path,
        method: Method,
        algo: HashAlgo,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath, StoreError>;

    /// Adds an object from its NAR, which must have the hash and the size that `info` says; its references must be
    /// valid, and its path must follow from its content address if it has one.
    fn add_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError>;

    /// Gives an object its place that this process has unpacked before ([`LocalStore::prepare_nar`](crate::LocalStore)); its
    /// references must be valid. `false` if there is no such, which is usual.
    fn take_prepared(&self, _path: &StorePath) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Writes the NAR of a valid object to `out`.
    fn write_nar(&self, path: &StorePath, out: &mut dyn Write) -> Result<(), StoreError> {
        Ok(fs_nar::dump(&self.real_path(path), &mut fs_nar::everything, out).map(drop)?)
    }

    /// Makes the link `link` to an object, and keeps the object as long as the link is there.
    fn add_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError>;

    /// As [`Store::path_info`], but an error for a path that is not valid.
    fn require(&self, path: &StorePath) -> Result<PathInfo, StoreError> {
        self.path_info(path)?.ok_or_else(|| StoreError::NotValid { path: path.clone() })
    }

    /// Adds a derivation.
    fn add_derivation(&self, derivation: &Derivation) -> Result<StorePath, StoreError> {
        let aterm = derivation.to_aterm()?;
        self.add_text(&format!("{}.drv", derivation.name), &aterm, &derivation.references())
    }

    /// Reads a derivation, which must be in the store.
    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, StoreError> {
        let name = path.derivation_name().ok_or_else(|| ParseError {
            name: path.base_name().to_owned(),
            offset: 0,
            reason: "its name does not end in '.drv'".to_owned(),
        })?;
        let real_path = self.real_path(path);
        match std::fs::read(&real_path) {
            Ok(aterm) => Ok(Derivation::parse(name, &aterm)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::NotValid { path: path.clone() })
            }
            Err(source) => Err(StoreError::Io { action: "read derivation", path: real_path, source }),
        }
    }

    /// The objects that `paths` refer to, directly or not, themselves included; all must be valid.
    fn closure(&self, paths: &[StorePath]) -> Result<BTreeSet<StorePath>, StoreError> {
        let mut closure: BTreeSet<StorePath> = paths.iter().cloned().collect();
        let mut queue: Vec<StorePath> = closure.iter().cloned().collect();
        while let Some(path) = queue.pop() {
            for reference in self.require(&path)?.references {
                if closure.insert(reference.clone()) {
                    queue.push(reference);
                }
            }
        }
        Ok(closure)
    }
}
