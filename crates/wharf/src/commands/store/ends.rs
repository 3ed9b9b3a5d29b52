//! The ends of a copy: stores and binary caches, by how they are named.

use std::path::{Path, PathBuf};

use fetch::{OpenCache, open_cache};
use store::LocalStore;
use store::daemon::DaemonOptions;

use super::opened::Opened;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::substituters::Reach;
use crate::{daemon, progress};

/// One end of a copy.
pub(super) enum End {
    Store(Opened),
    Cache(String, OpenCache),
}

impl End {
    /// Opens what a text names; nothing is the store.
    pub(super) fn open(
        place: Option<&str>,
        must_be_there: bool,
        reach: &Reach,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let address = match place {
            None => settings.daemon().cloned(),
            Some(text) => daemon::address(text)?,
        };
        if let Some(address) = address {
            let options = DaemonOptions { take_unsigned: reach.keys.is_none(), ..DaemonOptions::default() };
            let store = daemon::open(&address, options, settings, progress::observer(settings))?;
            return Ok(Self::Store(Opened::Daemon(Box::new(store))));
        }
        let directory = match place {
            None => settings.data.clone(),
            Some(text) if text.contains(':') => {
                return Ok(Self::Cache(text.to_owned(), open_cache(text, &reach.caches)?));
            }
            Some(text) => PathBuf::from(text),
        };
        if directory.join("nix-cache-info").exists() {
            let absolute = directory.canonicalize().unwrap_or(directory);
            return Err(Failure::usage(format!("'{}' holds a binary cache, not a store", absolute.display()))
                .help(format!("write it as file://{}", absolute.display())));
        }
        if must_be_there && place.is_some() && !is_store(&directory) {
            return Err(Failure::new(format!("there is no store in '{}'", directory.display()))
                .help("a binary cache in a directory is written file:///DIR"));
        }
        Ok(Self::Store(Opened::Own(Box::new(LocalStore::open(&directory)?))))
    }
}

fn is_store(directory: &Path) -> bool {
    directory.join("nix/var/nix/db/db.sqlite").exists()
}
