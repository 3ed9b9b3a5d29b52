//! What every command needs to know, resolved from arguments and environment once.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use store::daemon::DaemonAddress;

use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::store_choice::StoreChoice;

/// Stands for a home where there is none. A message with this path says itself what is wrong.
const NOWHERE: &str = "/dev/null/HOME-is-not-set";

/// The options that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Say less: no progress; twice: no warnings
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "verbose")]
    quiet: u8,
    /// Say more: builders' output; twice: what Wharf itself does
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print results as JSON on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Show every step of a failed evaluation
    #[arg(long, global = true)]
    show_trace: bool,
    /// Colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: When,
    /// Use nothing from the network
    #[arg(long, global = true)]
    offline: bool,
    /// The store: `daemon` for that of this machine's Nix, `own` or a directory for one of Wharf's own, unix://SOCKET or
    /// ssh-ng://HOST for another daemon's; `auto` for the own one where $WHARF_HOME is set or no Nix daemon answers, else
    /// the daemon's [default: $WHARF_STORE, else auto]
    #[arg(long, global = true, value_name = "STORE")]
    store: Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Silent,
    /// Errors and warnings.
    Quiet,
    /// Progress too.
    Normal,
    /// Builders' output too.
    Verbose,
    /// What Wharf itself does too.
    Debug,
}

/// The resolved settings.
pub(crate) struct Settings {
    pub(crate) verbosity: Verbosity,
    pub(crate) json: bool,
    /// Whether a failed evaluation shows all its steps.
    pub(crate) show_trace: bool,
    /// Whether standard output takes colours.
    pub(crate) color_stdout: bool,
    /// Whether standard error takes colours.
    pub(crate) color_stderr: bool,
    /// Whether standard error is a terminal on which lines can be redrawn.
    pub(crate) live: bool,
    pub(crate) offline: bool,
    /// The root of Wharf's own store: objects lie in its `nix/store`; archives, notes and logs are here in any case.
    pub(crate) data: PathBuf,
    /// Which store is used; [`Settings::daemon`] asks it.
    store: StoreChoice,
    pub(crate) cache: PathBuf,
    pub(crate) environment: Environment,
}

impl Settings {
    /// Resolves the settings. Nothing is created yet.
    pub(crate) fn resolve(arguments: &GlobalArguments) -> Result<Self, Failure> {
        Self::resolve_in(arguments, Environment::read())
    }

    fn resolve_in(arguments: &GlobalArguments, environment: Environment) -> Result<Self, Failure> {
        let verbosity = match (arguments.quiet, arguments.verbose) {
            (2.., _) => Verbosity::Silent,
            (1, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verbose,
            _ => Verbosity::Debug,
        };
        let colored = |terminal: bool| match arguments.color {
            When::Auto => terminal && !environment.no_color,
            When::Always => true,
            When::Never => false,
        };
        let stderr_is_terminal = std::io::stderr().is_terminal();
        let (store, data) = StoreChoice::resolve(arguments.store.as_deref(), &environment)?;
        let cache = environment.wharf_directory("WHARF_CACHE", "XDG_CACHE_HOME", ".cache").ok_or_else(|| {
            Failure::new("there is no place for the cache: HOME is not set").help("set WHARF_CACHE to a directory")
        })?;
        Ok(Self {
            verbosity,
            json: arguments.json,
            show_trace: arguments.show_trace,
            color_stdout: colored(std::io::stdout().is_terminal()),
            color_stderr: colored(stderr_is_terminal),
            live: stderr_is_terminal && environment::text("TERM").is_none_or(|term| term != "dumb"),
            offline: arguments.offline,
            data,
            store,
            cache,
            environment,
        })
    }

    /// The settings of a program that says nothing but warnings and errors. One that writes nothing needs no place to
    /// write to, and gets one where nobody can write.
    pub(crate) fn quiet(writes: bool) -> Result<Self, Failure> {
        let arguments = GlobalArguments {
            quiet: 1,
            verbose: 0,
            json: false,
            show_trace: false,
            color: When::Auto,
            offline: false,
            store: None,
        };
        let mut environment = Environment::read();
        if !writes && environment.home.is_none() {
            environment.fallback = Some(PathBuf::from(NOWHERE));
        }
        Self::resolve_in(&arguments, environment)
    }

    /// The Nix daemon whose store is used; `None` for Wharf's own.
    pub(crate) fn daemon(&self) -> Option<&DaemonAddress> {
        self.store.daemon(|socket, why| {
            if self.verbosity > Verbosity::Silent {
                eprintln!(
                    "note: everything is made in Wharf's own store, for the Nix daemon at '{}' is of no use: {why}",
                    socket.display()
                );
            }
        })
    }

    /// Why the daemon of this machine's Nix is of no use, if it would be used and was tried.
    pub(crate) fn daemon_complaint(&self) -> Option<&str> {
        self.store.complaint()
    }

    /// What is remembered of layers: digests and sizes, each of which can be computed again.
    pub(crate) fn layer_cache(&self) -> image::LayerCache {
        image::LayerCache::new(self.cache.join("layers"))
    }

    /// Where compressed archives of images are unpacked.
    pub(crate) fn unpacked(&self) -> PathBuf {
        self.cache.join("unpacked")
    }
}
