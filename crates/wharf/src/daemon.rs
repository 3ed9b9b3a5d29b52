//! The stores behind Nix daemons, by how users name them, and how daemons are told to work.

use std::path::PathBuf;
use std::sync::Arc;

use nix_formats::machines::Machine;
use nix_formats::nix_conf::NixConf;
use store::DaemonStore;
use store::daemon::{DaemonAddress, DaemonOptions};
use store::progress::Progress;

use crate::environment;
use crate::failure::Failure;
use crate::nix_conf;
use crate::settings::Settings;
use crate::substituters::daemon_socket;

/// The daemon that a text names; `None` if it names something else.
pub(crate) fn address(text: &str) -> Result<Option<DaemonAddress>, Failure> {
    let parsed = DaemonAddress::parse(text, Some(&daemon_socket()));
    let parsed = parsed.map_err(|problem| Failure::usage(format!("cannot use '{text}' as a store: {problem}")))?;
    Ok(parsed.map(|address| match address {
        DaemonAddress::Ssh(host, mut ssh) => {
            let options = environment::text("NIX_SSHOPTS").unwrap_or_default();
            ssh.options = options.split_whitespace().map(str::to_owned).collect();
            DaemonAddress::Ssh(host, ssh)
        }
        socket => socket,
    }))
}

/// Opens the store behind a daemon.
pub(crate) fn open(
    address: &DaemonAddress,
    options: DaemonOptions,
    settings: &Settings,
    progress: Arc<dyn Progress>,
) -> Result<DaemonStore, Failure> {
    if let DaemonAddress::Ssh(host, _) = address
        && settings.offline
    {
        return Err(Failure::new(format!(
            "'ssh-ng://{host}' cannot be reached, for the network is not used (--offline)"
        )));
    }
    address.open(options, progress).map_err(|error| {
        let failure = Failure::from(error);
        match address {
            DaemonAddress::Socket { .. } => failure.help(
                "a Nix daemon listens at $NIX_DAEMON_SOCKET_PATH, else at /nix/var/nix/daemon-socket/socket\n\
                 --store own keeps everything in Wharf's own store",
            ),
            DaemonAddress::Ssh(..) => {
                failure.help("what ssh needs to know of the host is in ~/.ssh/config, or NIX_SSHOPTS")
            }
        }
    })
}

/// Where other machines are named that builds are sent to.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "How to build")]
pub(crate) struct MachineArguments {
    /// Send builds to these machines, each ADDRESS SYSTEMS KEY JOBS SPEED FEATURES MANDATORY HOST-KEY with '-' for what is
    /// not said, separated by ';'; @FILE for those of a file; '' for none [default: nix.conf's, else @/etc/nix/machines]
    #[arg(long, value_name = "MACHINES")]
    builders: Option<String>,
    /// Let those machines take from binary caches what they need, instead of sending it
    #[arg(long)]
    builders_use_substitutes: bool,
}

impl MachineArguments {
    /// The machines, each with its address. Nothing is asked of them.
    pub(crate) fn resolve(&self, conf: &NixConf, settings: &Settings) -> Result<project::Machines, Failure> {
        if settings.offline {
            return Ok(project::Machines::default());
        }
        let default = || format!("@{}", nix_conf::directory().join("machines").display());
        let text = self.builders.clone().or_else(|| conf.text("builders")).unwrap_or_else(default);
        let named = self.builders.is_some();
        let mut read = |file: &str| match std::fs::read_to_string(file) {
            Ok(text) => Ok(Some(text)),
            // Only the user's own words must lead somewhere: the default names a file that hardly anybody has.
            Err(error) if named => Err(error.to_string()),
            Err(_) => Ok(None),
        };
        let machines = Machine::parse_all(&text, &mut read).map_err(|error| {
            Failure::usage(error.to_string())
                .help("a builder looks like: ssh-ng://build@farm.example.org x86_64-linux - 4")
        })?;
        let machines = machines.into_iter().map(machine).collect::<Result<_, Failure>>()?;
        let substitutes = self.builders_use_substitutes || conf.flag("builders-use-substitutes") == Some(true);
        Ok(project::Machines { machines, substitutes })
    }

    /// The same as one setting, for a daemon, which sends builds on itself.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let builders = self.builders.iter().map(|text| ("builders".to_owned(), text.clone()));
        let substitutes =
            self.builders_use_substitutes.then(|| ("builders-use-substitutes".to_owned(), "true".to_owned()));
        builders.chain(substitutes).collect()
    }
}

/// A machine's address. What Nix reaches by its older protocol is reached by this one too, for it has both.
fn machine(mut machine: Machine) -> Result<(Machine, DaemonAddress), Failure> {
    let text = match machine.address.split_once("://") {
        None => format!("ssh-ng://{}", machine.address),
        Some(("ssh", rest)) => format!("ssh-ng://{rest}"),
        Some(_) => machine.address.clone(),
    };
    let address = match address(&text)? {
        Some(DaemonAddress::Ssh(host, mut ssh)) => {
            ssh.key = machine.key.as_ref().map(PathBuf::from).or(ssh.key);
            ssh.host_key.clone_from(&machine.host_key);
            DaemonAddress::Ssh(host, ssh)
        }
        Some(socket) => socket,
        None => {
            return Err(Failure::usage(format!("the builder '{}' is no machine with a Nix daemon", machine.address))
                .help("builds are sent to ssh-ng://HOST, or to unix://SOCKET"));
        }
    };
    if machine.systems.is_empty() {
        machine.systems.insert(format!("{}-linux", std::env::consts::ARCH));
    }
    machine.address = text;
    Ok((machine, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_older_files_are_reached_too() {
        let line = "builder; ssh://u@old aarch64-linux /k; ssh-ng://new?compress=true; unix:///s; https://x";
        let machines = Machine::parse_all(line, &mut |_| Ok(None)).unwrap_or_default();
        let own = format!("{}-linux", std::env::consts::ARCH);
        let expected = [
            ("ssh-ng://builder", own.as_str()),
            ("ssh-ng://u@old", "aarch64-linux"),
            ("ssh-ng://new?compress=true", own.as_str()),
            ("unix:///s", own.as_str()),
        ];
        let mut machines = machines.into_iter().map(machine);
        for (address, system) in expected {
            let (machine, _) = machines.next().and_then(Result::ok).unwrap_or_else(|| panic!("{address}"));
            assert_eq!((machine.address.as_str(), machine.systems.contains(system)), (address, true));
        }
        assert!(machines.next().is_some_and(|one| one.is_err()));
    }
}
