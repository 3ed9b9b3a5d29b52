//! Checking that the store is what its database says.

use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use thiserror::Error;

use super::LocalStore;
use super::gc::invalidate_with_referrers;
use crate::fs_nar::{self, TreeError};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{Store, StoreError};

/// How thoroughly to check, and what to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    /// Also read every object and compare its hash.
    pub contents: bool,
    /// Make what is missing or damaged invalid, and what refers to it, so that it is made again.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Error)]
pub enum Problem {
    /// SQLite finds the database damaged.
    #[error("the database is damaged: {message}")]
    Database {
        /// What SQLite says.
        message: String,
    },
    /// The database says of an object what cannot be.
    #[error("the database is damaged: {what}")]
    Senseless {
        /// Which object, and what is said of it.
        what: String,
    },
    /// An object is registered but not there.
    #[error("path '{path}' is registered, but it is not there")]
    Missing {
        /// The object.
        path: StorePath,
    },
    /// An object has another content than when it was registered.
    #[error("path '{path}' was modified: expected {expected}, got {actual}")]
    Modified {
        /// The object.
        path: StorePath,
        /// The hash of its NAR in the database.
        expected: Box<Hash>,
        /// The hash that it has.
        actual: Box<Hash>,
    },
    /// An object cannot be read.
    #[error("path '{path}' cannot be read: {source}")]
    Unreadable {
        /// The object.
        path: StorePath,
        /// Why.
        source: TreeError,
    },
}

impl Problem {
    /// The object that it is about, if it is about one.
    pub fn path(&self) -> Option<&StorePath> {
        match self {
            Self::Database { .. } | Self::Senseless { .. } => None,
            Self::Missing { path } | Self::Modified { path, .. } | Self::Unreadable { path, .. } => Some(path),
        }
    }
}

impl LocalStore {
    /// Checks the database and every valid object; returns what is wrong, repaired or not.
    pub fn verify(&self, options: VerifyOptions, progress: &dyn Progress) -> Result<Vec<Problem>, StoreError> {
        let mut problems = Vec::new();
        if let Some(message) = self.db.integrity_problem()? {
            problems.push(Problem::Database { message });
        }
        let senseless = self.db.senseless_rows()?;
        let rows: Vec<i64> = senseless.iter().map(|(row, _)| *row).collect();
        problems.extend(senseless.into_iter().map(|(_, what)| Problem::Senseless { what }));
        match rows.is_empty() {
            true => {}
            // Which objects there are cannot be told.
            false if !options.repair => return Ok(problems),
            false => self.db.forget_rows(&rows)?,
        }
        let paths = self.all_paths()?;
        let task = Task::start(progress, Activity::Verify, "store", Some(paths.len() as u64));
        for path in &paths {
            problems.extend(self.check(path, options)?);
            task.advance(1);
        }
        if options.repair {
            let damaged: Vec<StorePath> = problems.iter().filter_map(Problem::path).cloned().collect();
            invalidate_with_referrers(self, &damaged)?;
        }
        task.finish(Outcome::Done);
        Ok(problems)
    }

    fn check(&self, path: &StorePath, options: VerifyOptions) -> Result<Option<Problem>, StoreError> {
        let real_path = self.real_path(path);
        if real_path.symlink_metadata().is_err() {
            // It may have been collected since the list was made.
            return Ok(self.is_valid(path)?.then(|| Problem::Missing { path: path.clone() }));
        }
        if !options.contents {
            return Ok(None);
        }
        let Some(info) = self.path_info(path)? else { return Ok(None) };
        let path = path.clone();
        Ok(match fs_nar::hash(&real_path, &mut fs_nar::everything, HashAlgo::Sha256) {
            Ok((actual, _)) if actual == info.nar_hash => None,
            Ok((actual, _)) => Some(Problem::Modified { path, expected: info.nar_hash.into(), actual: actual.into() }),
            Err(source) => Some(Problem::Unreadable { path, source }),
        })
    }
}
