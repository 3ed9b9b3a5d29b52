//! The store that `wharf store` looks after: Wharf's own, or a Nix daemon's.

use std::collections::BTreeSet;
use std::ops::Deref;

use build::{DaemonBuilder, known_to_daemon, known_to_store};
use nix_formats::realisation::Realisation;
use nix_formats::store_path::StorePath;
use store::daemon::DaemonOptions;
use store::{DaemonStore, LocalStore, Store};

use crate::failure::Failure;
use crate::settings::Settings;
use crate::{daemon, progress};

/// A store that is open.
pub(super) enum Opened {
    Own(Box<LocalStore>),
    Daemon(Box<DaemonStore>),
}

impl Opened {
    /// Opens the store that the settings name.
    pub(super) fn open(settings: &Settings) -> Result<Self, Failure> {
        Self::open_with(settings, false)
    }

    /// The same; with `take_unsigned`, a daemon that trusts the user takes what nobody has signed.
    pub(super) fn open_with(settings: &Settings, take_unsigned: bool) -> Result<Self, Failure> {
        let Some(address) = settings.daemon() else {
            return Ok(Self::Own(Box::new(LocalStore::open(&settings.data)?)));
        };
        let options = DaemonOptions { take_unsigned, ..DaemonOptions::default() };
        let store = daemon::open(address, options, settings, progress::observer(settings))?;
        Ok(Self::Daemon(Box::new(store)))
    }

    /// Every valid object.
    pub(super) fn all_paths(&self) -> Result<BTreeSet<StorePath>, Failure> {
        Ok(match self {
            Self::Own(store) => store.all_paths()?,
            Self::Daemon(store) => store.all_paths()?,
        })
    }

    /// Which outputs of derivations these objects and those that they refer to are, of which only building told.
    pub(super) fn realisations(&self, paths: &[StorePath], settings: &Settings) -> Result<Vec<Realisation>, Failure> {
        let closure = self.closure(paths)?;
        Ok(match self {
            Self::Own(store) => known_to_store(store, &closure)?,
            // It reads derivations, which are files of this machine.
            Self::Daemon(store) if store.store_dir().is_none() => Vec::new(),
            Self::Daemon(store) => known_to_daemon(store, &DaemonBuilder::realisations(&settings.data), &closure)?,
        })
    }

    /// The store, if its objects lie on this machine.
    pub(super) fn with_files(&self) -> Result<&dyn Store, Failure> {
        match self {
            Self::Daemon(store) if store.store_dir().is_none() => {
                Err(Failure::new(format!("the objects of '{}' are not on this machine", store.address()))
                    .help(format!("`wharf store copy --from {} PATH` brings them here", store.address())))
            }
            _ => Ok(&**self),
        }
    }
}

impl Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Own(store) => &**store,
            Self::Daemon(store) => &**store,
        }
    }
}
