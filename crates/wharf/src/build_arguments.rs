//! The arguments by which commands are told how to build.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix_formats::nix_conf::NixConf;
use store::daemon::{DaemonAddress, DaemonOptions};

use crate::daemon::MachineArguments;
use crate::failure::Failure;
use crate::nix_conf::Given;
use crate::settings::Settings;
use crate::substituters::SubstituterArguments;

/// What builders see of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum SandboxArgument {
    /// Nothing but their inputs
    #[default]
    #[value(alias = "true")]
    On,
    /// All of it, for derivations with `__noChroot`
    Relaxed,
    /// All of it
    #[value(alias = "false")]
    Off,
}

/// How builds are made.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "How to build")]
pub(crate) struct BuildArguments {
    /// How many derivations to build at the same time; 0 to build on other machines only [default: the number of
    /// processors]
    #[arg(short, long, value_name = "N", alias = "max-jobs")]
    jobs: Option<usize>,
    /// How many processors each build may use [default: all]
    #[arg(long, value_name = "N")]
    cores: Option<std::num::NonZeroUsize>,
    /// Go on with what does not depend on a failed build
    #[arg(short, long)]
    keep_going: bool,
    /// Keep the directory of a failed build
    #[arg(long)]
    keep_failed: bool,
    /// Build what is there already once more, and compare
    #[arg(long)]
    check: bool,
    /// Kill a builder that runs for longer than this
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Kill a builder that says nothing for longer than this
    #[arg(long, value_name = "SECONDS")]
    max_silent_time: Option<u64>,
    /// Kill a builder that says more than this
    #[arg(long, value_name = "BYTES")]
    max_build_log_size: Option<u64>,
    /// Kill a builder that, with all that it starts, takes more memory than this
    #[arg(long, value_name = "SIZE", value_parser = runtime::parse_size)]
    max_memory: Option<u64>,
    /// How many processes a builder may have at the same time
    #[arg(long, value_name = "N")]
    max_processes: Option<u64>,
    /// What builders see of this machine: nothing but their inputs; relaxed, all of it for derivations with `__noChroot`;
    /// off, all of it for all
    #[arg(long, value_name = "on|relaxed|off", default_value = "on", hide_default_value = true)]
    sandbox: SandboxArgument,
    /// Build nothing where the kernel refuses what a sandbox is made of, rather than without one
    #[arg(long)]
    no_sandbox_fallback: bool,
    #[command(flatten)]
    machines: MachineArguments,
    #[command(flatten)]
    pub(crate) substituters: SubstituterArguments,
    /// What takes the blobs of layers that are packed for the first time.
    #[arg(skip)]
    pub(crate) sink: Option<Sink>,
}

/// What takes the blobs of layers that are packed for the first time.
#[derive(Clone)]
pub(crate) struct Sink(pub(crate) Arc<dyn image::LayerSink>);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

impl BuildArguments {
    /// How this machine builds.
    pub(crate) fn resolve(&self, binary: &Path, conf: &NixConf) -> build::Options {
        let mut options = build::Options::new();
        if let Some(group) = conf.text("build-users-group") {
            options.build_users_group = Some(group).filter(|group| !group.is_empty());
        }
        options.jobs = self.jobs.unwrap_or(options.cores.get());
        options.cores = self.cores.unwrap_or(options.cores);
        options.shell = Some(binary.to_owned());
        options.keep_going = self.keep_going;
        options.keep_failed = self.keep_failed;
        options.check = self.check;
        // As Nix has it, 0 is no limit.
        let seconds = |limit: Option<u64>| limit.filter(|limit| *limit > 0).map(Duration::from_secs);
        options.watch.time = seconds(self.timeout);
        options.watch.silence = seconds(self.max_silent_time);
        options.limits = build::Limits { memory: self.max_memory, processes: self.max_processes };
        options.isolation = match self.sandbox {
            SandboxArgument::On => build::Isolation::Full,
            SandboxArgument::Relaxed => build::Isolation::Relaxed,
            SandboxArgument::Off => build::Isolation::Off,
        };
        options.sandbox_fallback = !self.no_sandbox_fallback && conf.flag("sandbox-fallback") != Some(false);
        options.watch.output = self.max_build_log_size.filter(|limit| *limit > 0);
        options
    }

    /// The daemon in whose store everything is made, and the machines that builds are sent to.
    pub(crate) fn places(
        &self,
        settings: &Settings,
        conf: &NixConf,
        given: &Given,
    ) -> Result<(Option<project::Daemon>, project::Machines), Failure> {
        match settings.daemon() {
            None => Ok((None, self.machines.resolve(conf, settings)?)),
            Some(DaemonAddress::Ssh(host, _)) => Err(Failure::usage(format!(
                "what 'ssh-ng://{host}' has is not on this machine, where it would be read"
            ))
            .help(
                "to build on another machine: --builders 'ssh-ng://HOST'\n\
                         to put results there: wharf store copy --to ssh-ng://HOST ./result",
            )),
            Some(_) if self.max_memory.or(self.max_processes).is_some() => {
                Err(Failure::usage("a Nix daemon is not told what memory and how many processes builders may have")
                    .help(
                        "--store own builds in Wharf's own store; a daemon may have cgroups of its own (use-cgroups)",
                    ))
            }
            Some(address) => {
                let options = self.daemon_options(conf, settings, given);
                let daemon = project::Daemon { address: address.clone(), options };
                Ok((Some(daemon), project::Machines::default()))
            }
        }
    }

    /// The same as for this machine, for a daemon, which is told what the user says, and what Nix would tell it.
    fn daemon_options(&self, conf: &NixConf, settings: &Settings, given: &Given) -> DaemonOptions {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let mut named = given.to_vec();
        named.extend(self.machines.settings());
        named.extend(self.substituters.settings());
        match self.sandbox {
            SandboxArgument::On => {}
            SandboxArgument::Relaxed => named.push(("sandbox".to_owned(), "relaxed".to_owned())),
            SandboxArgument::Off => named.push(("sandbox".to_owned(), "false".to_owned())),
        }
        if self.no_sandbox_fallback {
            named.push(("sandbox-fallback".to_owned(), "false".to_owned()));
        }
        for (name, limit) in [("timeout", self.timeout), ("max-build-log-size", self.max_build_log_size)] {
            named.extend(limit.map(|limit| (name.to_owned(), limit.to_string())));
        }
        DaemonOptions {
            keep_going: self.keep_going,
            keep_failed: self.keep_failed,
            jobs: self.jobs.map(|jobs| jobs as u64).or_else(|| conf.number("max-jobs")).unwrap_or(processors),
            cores: self.cores.map(|cores| cores.get() as u64).or_else(|| conf.number("cores")).unwrap_or(0),
            substitute: !settings.offline && conf.flag("substitute") != Some(false),
            silence: self.max_silent_time.or_else(|| conf.number("max-silent-time")).unwrap_or(0),
            settings: named,
            ..DaemonOptions::default()
        }
    }
}
