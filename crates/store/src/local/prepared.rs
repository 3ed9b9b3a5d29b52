//! Objects that were unpacked and compared before what they refer to is there: they get their places when it is.
//!
//! Who reads an object's NAR for another purpose, such as to pack it into a layer, has the order of that purpose; the store is
//! closed at any moment all the same.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use nix_formats::store_path::StorePath;

use super::LocalStore;
use crate::{PathInfo, Store, StoreError, fs_nar};

/// What is in staging, by its path.
pub(super) type Prepared = HashMap<StorePath, (PathBuf, PathInfo)>;

impl LocalStore {
    /// Unpacks an object, whose NAR must have the hash and the size that `info` says, and gives it its place as soon as all
    /// that it refers to is valid. Until then only this process knows of it.
    ///
    /// # Errors
    /// As [`Store::add_nar`].
    pub fn prepare_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError> {
        self.add_temp_root(&info.path)?;
        let staged = self.scratch()?;
        match self.unpack_whole(info, nar, &staged) {
            Ok(info) => drop(self.prepared().insert(info.path.clone(), (staged, info))),
            Err(error) => {
                // What cannot be deleted now is when the store is opened again.
                let _ = fs_nar::remove(&staged);
                return Err(error);
            }
        }
        self.settle(&info.path)
    }

    /// Writes the NAR of an object that was prepared and has no place yet; `false` if there is no such.
    ///
    /// # Errors
    /// It cannot be read, or `out` fails.
    pub fn write_prepared(&self, path: &StorePath, out: &mut dyn Write) -> Result<bool, StoreError> {
        let Some((tree, _)) = self.prepared().get(path).cloned() else { return Ok(false) };
        fs_nar::dump(&tree, &mut fs_nar::everything, out)?;
        Ok(true)
    }

    /// Gives a prepared object its place, if there is one; what it refers to must be valid.
    pub(super) fn place_prepared(&self, path: &StorePath) -> Result<bool, StoreError> {
        let Some((tree, info)) = self.prepared().remove(path) else { return Ok(false) };
        let locks = self.lock(std::slice::from_ref(path))?;
        self.install(&locks, &[(tree.clone(), info)])?;
        // Another process was quicker.
        let _ = fs_nar::remove(&tree);
        Ok(true)
    }

    /// Gives a prepared object its place if it can have it, and then those that have waited for it.
    fn settle(&self, path: &StorePath) -> Result<(), StoreError> {
        let mut next = vec![path.clone()];
        while let Some(path) = next.pop() {
            if self.may_be_placed(&path)? && self.place_prepared(&path)? {
                let prepared = self.prepared();
                let waiting = prepared.values().filter(|(_, info)| info.references.contains(&path));
                next.extend(waiting.map(|(_, info)| info.path.clone()));
            }
        }
        Ok(())
    }

    fn may_be_placed(&self, path: &StorePath) -> Result<bool, StoreError> {
        let references = self.prepared().get(path).map(|(_, info)| info.references.clone());
        for reference in references.iter().flatten().filter(|reference| *reference != path) {
            if !self.is_valid(reference)? {
                return Ok(false);
            }
        }
        Ok(references.is_some())
    }

    fn prepared(&self) -> MutexGuard<'_, Prepared> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
