//! Which store is used: what the user says, else that of the machine's Nix where its daemon is of use, else our own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use store::daemon::{DaemonAddress, DaemonOptions};
use store::progress::Silent;
use store::{DaemonStore, StoreError};

use crate::daemon;
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::substituters::daemon_socket;

/// Where things are made.
pub(crate) enum StoreChoice {
    /// In Wharf's own store.
    Own,
    /// In that of a Nix daemon.
    Daemon(DaemonAddress),
    /// In that of this machine's daemon if it is of use, which is found out when it is first asked for.
    Auto(OnceLock<Found>),
}

/// What there is of a daemon on this machine.
pub(crate) enum Found {
    /// None: nothing is at its socket's place.
    Nothing,
    /// One that is of use.
    Daemon(DaemonAddress),
    /// One that is of no use, and why, as a clause.
    Useless(String),
}

impl StoreChoice {
    /// The store, and the directory of Wharf's own, which has archives, notes and logs in any case.
    pub(crate) fn resolve(argument: Option<&OsStr>, environment: &Environment) -> Result<(Self, PathBuf), Failure> {
        let said = argument.map(OsStr::to_owned).or_else(|| Some(OsString::from(environment::text("WHARF_STORE")?)));
        let said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| OsString::from("auto"));
        let own = || {
            environment.wharf_directory("WHARF_HOME", "XDG_DATA_HOME", ".local/share").ok_or_else(|| {
                Failure::new("there is no place for the store: HOME is not set").help("set WHARF_HOME to a directory")
            })
        };
        match said.to_str() {
            // Who says where Wharf's store is wants it.
            Some("auto") if environment::directory("WHARF_HOME").is_none() => {
                return Ok((Self::Auto(OnceLock::new()), own()?));
            }
            Some("auto" | "own") => return Ok((Self::Own, own()?)),
            _ => {}
        }
        if let Some(address) = said.to_str().map(daemon::address).transpose()?.flatten() {
            return Ok((Self::Daemon(address), own()?));
        }
        if said.as_encoded_bytes().windows(3).any(|three| three == b"://") {
            return Err(Failure::usage(format!("'{}' is no store in which things can be made", said.display())).help(
                "a store is a directory, own, daemon, unix://SOCKET or ssh-ng://HOST; what a binary cache has is taken \
                 with --substituters",
            ));
        }
        let directory = std::path::absolute(&said).map_err(|error| Failure::io("resolve", Path::new(&said), error))?;
        Ok((Self::Own, directory))
    }

    /// The daemon whose store is used. `note` is told, once, of one that would be if it were of use.
    pub(crate) fn daemon(&self, note: impl FnOnce(&Path, &str)) -> Option<&DaemonAddress> {
        let found = match self {
            Self::Own => return None,
            Self::Daemon(address) => return Some(address),
            Self::Auto(found) => found.get_or_init(|| {
                let socket = daemon_socket();
                let found = look(&socket);
                if let Found::Useless(why) = &found {
                    note(&socket, why);
                }
                found
            }),
        };
        match found {
            Found::Daemon(address) => Some(address),
            Found::Nothing | Found::Useless(_) => None,
        }
    }

    /// Why this machine's daemon is of no use, if that was found out.
    pub(crate) fn complaint(&self) -> Option<&str> {
        match self {
            Self::Auto(found) => match found.get()? {
                Found::Useless(why) => Some(why),
                Found::Nothing | Found::Daemon(_) => None,
            },
            Self::Own | Self::Daemon(_) => None,
        }
    }
}

/// Looks for this machine's daemon, and greets it.
fn look(socket: &Path) -> Found {
    let store_dir = Path::new("/nix/store");
    match DaemonStore::open(socket, store_dir, DaemonOptions::default(), Arc::new(Silent)) {
        Ok(_) if store_dir.is_dir() => {
            Found::Daemon(DaemonAddress::Socket { socket: socket.to_owned(), root: PathBuf::from("/") })
        }
        Ok(_) => Found::Useless("its store is not on this machine, where there is no /nix/store".to_owned()),
        Err(_) if socket.symlink_metadata().is_err() => Found::Nothing,
        Err(StoreError::DaemonLost { source, .. }) => Found::Useless(source.to_string()),
        Err(error) => Found::Useless(error.to_string()),
    }
}
