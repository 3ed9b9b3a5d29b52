//! Putting a good copy of an object in the place of a damaged one.

use std::fs;
use std::io::{self, Read};

use nix_formats::store_path::StorePath;

use super::LocalStore;
use super::add::{move_object, unpack};
use crate::{Store, StoreError};

impl LocalStore {
    /// Puts the object that this NAR holds in the place of what is there. It must have the hash that the object had when it
    /// was registered; the object stays valid all the while, and so does what refers to it.
    pub fn replace(&self, path: &StorePath, nar: &mut dyn Read) -> Result<(), StoreError> {
        self.add_temp_root(path)?;
        let _locks = self.lock(std::slice::from_ref(path))?;
        let info = self.require(path)?;
        let good = self.scratch()?;
        let bad = self.scratch()?;
        let replaced = unpack(&info, nar, &good).and_then(|_| {
            let place = self.real_path(path);
            match move_object(&place, &bad) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            move_object(&good, &place)
        });
        for leftover in [&good, &bad] {
            if fs::symlink_metadata(leftover).is_ok() {
                // What cannot be deleted now is when the store is opened again.
                let _ = crate::fs_nar::remove(leftover);
            }
        }
        replaced
    }
}
