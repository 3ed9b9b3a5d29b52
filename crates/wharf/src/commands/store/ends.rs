//! The ends of a copy: stores and binary caches, by how they are named.

use std::path::{Path, PathBuf};

use fetch::{OpenCache, open_cache};
use store::daemon::{DaemonOptions, DaemonStore, SshHost, SshOptions};
use store::{LocalStore, Store};

use crate::environment;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::{Reach, daemon_socket};

/// One end of a copy.
pub(super) enum End {
    Store(Box<dyn Store>),
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
        let directory = match place {
            None => settings.data.clone(),
            Some(text) => match daemon(text, reach, settings)? {
                Some(store) => return Ok(Self::Store(Box::new(store))),
                None if text.contains(':') => {
                    return Ok(Self::Cache(text.to_owned(), open_cache(text, &reach.caches)?));
                }
                None => PathBuf::from(text),
            },
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
        Ok(Self::Store(Box::new(LocalStore::open(&directory)?)))
    }
}

/// The store behind a daemon, if that is what a text names.
fn daemon(text: &str, reach: &Reach, settings: &Settings) -> Result<Option<DaemonStore>, Failure> {
    let options = DaemonOptions { take_unsigned: reach.keys.is_none(), ..DaemonOptions::default() };
    let progress = progress::observer(settings);
    if text == "daemon" {
        let store = Path::new(nix_formats::STORE_DIR);
        return Ok(Some(DaemonStore::open(&daemon_socket(), store, options, progress)?));
    }
    let Some(rest) = text.strip_prefix("ssh-ng://") else { return Ok(None) };
    if settings.offline {
        return Err(Failure::new(format!("'{text}' cannot be reached, for the network is not used (--offline)")));
    }
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    let wrong = |problem: String| Failure::usage(format!("cannot use '{text}' as a store: {problem}"));
    let host = SshHost::parse(host.trim_end_matches('/')).ok_or_else(|| wrong("it names no host".to_owned()))?;
    let extra = environment::text("NIX_SSHOPTS").unwrap_or_default();
    let mut ssh =
        SshOptions { options: extra.split_whitespace().map(str::to_owned).collect(), ..SshOptions::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "ssh-key" => ssh.key = Some(PathBuf::from(value)),
            "remote-program" => ssh.program = Some(value.to_owned()),
            "remote-store" => ssh.remote_store = Some(value.to_owned()),
            _ => {
                return Err(wrong(format!(
                    "it has no parameter '{name}'; there are ssh-key, remote-program, remote-store"
                )));
            }
        }
    }
    Ok(Some(DaemonStore::open_ssh(host, ssh, options, progress)?))
}

fn is_store(directory: &Path) -> bool {
    directory.join("nix/var/nix/db/db.sqlite").exists()
}
