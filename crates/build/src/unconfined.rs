//! Builders without a namespace: what they make is at its place from the start, since they could not see it elsewhere.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix_formats::derivation::OutputName;
use store::fs_nar;

use crate::build_user::BuildUser;
use crate::error::BuildError;
use crate::job::Job;

/// The places of outputs that are being made; what is there is removed with this, unless it is the store's by then.
pub(crate) struct Places(Vec<PathBuf>);

impl Places {
    /// Clears the places of a derivation's outputs, which are locked. `missing` are those that are not valid: nothing is
    /// made in the place of one that is.
    pub fn clear(job: &Job<'_>, missing: &BTreeSet<OutputName>) -> Result<Places, BuildError> {
        if !job.is_unconfined() {
            return Ok(Places(Vec::new()));
        }
        if let Some((name, path)) = job.node.outputs.iter().find(|(name, _)| !missing.contains(*name)) {
            let there = format!(
                "its output '{name}' is there already, at '{}', where the builder would make it once more; that needs a \
                 sandbox, which the kernel refuses",
                path.to_absolute()
            );
            return Err(BuildError::Derivation { derivation: job.node.path.clone(), problem: there });
        }
        let mut places = Vec::new();
        for (name, path) in &job.node.outputs {
            let place = job.staged(path);
            fs_nar::remove(&place).map_err(|source| BuildError::Tree {
                derivation: job.node.path.clone(),
                output: name.clone(),
                source,
            })?;
            places.push(place);
        }
        Ok(Places(places))
    }

    /// What is there is the store's now.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for place in &self.0 {
            // What cannot be deleted now is not valid, and goes with the next collection.
            let _ = fs_nar::remove(place);
        }
    }
}

/// Lets the build users' group make objects in the store, as Nix does: whoever is of the group may add, and nobody may
/// touch what is another's.
pub(crate) fn share_store(directory: &Path, user: &BuildUser) -> Result<(), BuildError> {
    let metadata = directory.metadata().map_err(BuildError::file("read", directory))?;
    if metadata.gid() == user.group && metadata.mode() & 0o7777 == 0o1775 {
        return Ok(());
    }
    chown(directory, None, Some(user.group)).map_err(BuildError::file("share", directory))?;
    crate::ordinary::set_mode(directory, 0o1775)
}
