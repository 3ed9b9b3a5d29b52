//! How a daemon's store is named: `daemon`, `unix://SOCKET`, `ssh-ng://HOST`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DEFAULT_SOCKET, DaemonOptions, DaemonStore, SshHost, SshOptions};
use crate::StoreError;
use crate::progress::Progress;

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonAddress {
    /// On this machine.
    Socket {
        /// Where it listens.
        socket: PathBuf,
        /// The directory below which its `/nix` lies.
        root: PathBuf,
    },
    /// On another machine, through `ssh`.
    Ssh(SshHost, SshOptions),
}

impl DaemonAddress {
    /// Parses `daemon[?root=DIR]`, `unix://SOCKET[?root=DIR]` and `ssh-ng://[USER@]HOST[:PORT][?…]`; `None` for what names
    /// no daemon. `socket` is where this machine's daemon listens, if not where they do.
    ///
    /// # Errors
    /// What is wrong with the text, as a clause.
    pub fn parse(text: &str, socket: Option<&Path>) -> Result<Option<Self>, String> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let local = match (place, place.strip_prefix("unix://")) {
            ("daemon", _) | (_, Some("")) => Some(socket.unwrap_or(Path::new(DEFAULT_SOCKET)).to_owned()),
            (_, Some(path)) if path.starts_with('/') => Some(PathBuf::from(path)),
            (_, Some(_)) => return Err("the path of its socket is not absolute".to_owned()),
            (_, None) => None,
        };
        if let Some(socket) = local {
            let mut root = PathBuf::from("/");
            for (name, value) in parameters(query) {
                match name {
                    "root" if value.starts_with('/') => root = PathBuf::from(value),
                    "root" => return Err("its root is not an absolute path".to_owned()),
                    _ => return Err(format!("it has no parameter '{name}'; there is root")),
                }
            }
            return Ok(Some(Self::Socket { socket, root }));
        }
        let Some(host) = place.strip_prefix("ssh-ng://") else { return Ok(None) };
        let host = SshHost::parse(host.trim_end_matches('/')).ok_or("it names no host")?;
        let mut ssh = SshOptions::default();
        for (name, value) in parameters(query) {
            match name {
                "ssh-key" => ssh.key = Some(PathBuf::from(value)),
                "remote-program" => ssh.program = Some(value.to_owned()),
                "remote-store" => ssh.remote_store = Some(value.to_owned()),
                "compress" => ssh.compress = matches!(value, "true" | "1" | "yes"),
                // How many connections are open at the same time follows from the work here.
                "max-connections" | "max-connection-age" => {}
                _ => {
                    return Err(format!(
                        "it has no parameter '{name}'; there are ssh-key, remote-program, remote-store, compress"
                    ));
                }
            }
        }
        Ok(Some(Self::Ssh(host, ssh)))
    }

    /// Opens the store.
    ///
    /// # Errors
    /// Nobody answers there, or not in a version that is spoken here.
    pub fn open(&self, options: DaemonOptions, progress: Arc<dyn Progress>) -> Result<DaemonStore, StoreError> {
        match self {
            Self::Socket { socket, root } => DaemonStore::open(socket, &root.join("nix/store"), options, progress),
            Self::Ssh(host, ssh) => DaemonStore::open_ssh(host.clone(), ssh.clone(), options, progress),
        }
    }

    /// The directory below which the store's `/nix` lies, if that is on this machine.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::Socket { root, .. } => Some(root),
            Self::Ssh(..) => None,
        }
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_nix_has_them() {
        let parse = |text| DaemonAddress::parse(text, Some(Path::new("/run/s")));
        let socket =
            |socket: &str, root: &str| Ok(Some(DaemonAddress::Socket { socket: socket.into(), root: root.into() }));
        assert_eq!(parse("daemon"), socket("/run/s", "/"));
        assert_eq!(parse("unix://"), socket("/run/s", "/"));
        assert_eq!(parse("unix:///a/b?root=/r"), socket("/a/b", "/r"));
        assert_eq!(parse("./daemon"), Ok(None));
        assert_eq!(parse("https://x"), Ok(None));
        let Ok(Some(DaemonAddress::Ssh(host, ssh))) = parse("ssh-ng://u@h:2?ssh-key=/k&compress=true") else {
            panic!()
        };
        assert_eq!((host.to_string().as_str(), ssh.key, ssh.compress), ("u@h:2", Some("/k".into()), true));
        for text in ["daemon?state=/x", "unix://relative", "daemon?root=x", "ssh-ng://", "ssh-ng://h?what=1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
