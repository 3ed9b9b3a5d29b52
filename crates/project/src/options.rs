//! What a project is told.

use std::path::PathBuf;
use std::sync::Arc;

use nix_formats::machines::Machine;
use store::daemon::{DaemonAddress, DaemonOptions};
use store::progress::Progress;

use crate::host::Variables;
use crate::locks::LockSettings;
use crate::packages::Packages;

/// What a project is told; nothing here is read from the environment by this crate.
#[derive(Clone)]
pub struct Options {
    /// The root of this program's own store; archives, notes and logs are below it whichever store is used.
    pub data: PathBuf,
    /// The Nix daemon in whose store everything is made; `None` for this program's own store.
    pub daemon: Option<Daemon>,
    /// Other machines that builds are sent to, if the store is this program's own. A daemon has its own.
    pub machines: Machines,
    /// Where notes and downloads are kept that can be made again.
    pub cache: PathBuf,
    /// The running binary: a static program that is also a shell and utilities.
    pub binary: PathBuf,
    /// The current directory, to which paths in expressions of the command line are relative.
    pub directory: PathBuf,
    /// How to evaluate: the system, the search path, whether everything is pure, and more.
    pub evaluation: eval::Settings,
    /// Whether only the search path and what [`Options::allowed_uris`] names may be read (`restrict-eval`).
    pub restricted: bool,
    /// The addresses that a restricted evaluation may fetch from, and all below them.
    pub allowed_uris: Vec<String>,
    /// Whether a flake may read files and variables of this machine.
    pub impure: bool,
    /// Where `pkgs` comes from; `None` leaves it to the target: its lock file, else the built-in set.
    pub packages: Option<Packages>,
    /// Whether nixpkgs' `dockerTools` and `ociTools` are its own, not Wharf's.
    pub nixpkgs_docker_tools: bool,
    /// Arguments for functions that the target leads to.
    pub arguments: Vec<(String, Argument)>,
    /// Whether sources are copied into the store, or their paths only computed.
    pub write: bool,
    /// Whether what an evaluation gave before may be taken if nothing has changed that it read.
    pub use_cache: bool,
    /// The binary caches that outputs are taken from.
    pub substituters: Arc<store::cache::Substituters>,
    /// How sources are fetched.
    pub fetching: fetch::Settings,
    /// What the command line says of the locks of flakes.
    pub locks: LockSettings,
    /// How base images are pulled.
    pub registries: distribution::Settings,
    /// How to build.
    pub build: build::Options,
    /// The environment as expressions see it.
    pub variables: Variables,
    /// Takes the blobs of layers that are packed for the first time.
    pub sink: Option<Arc<dyn image::LayerSink>>,
    /// Hears what goes on.
    pub progress: Arc<dyn Progress>,
}

impl Options {
    /// Where the objects of the store lie.
    pub(crate) fn store_directory(&self) -> PathBuf {
        let root = self.daemon.as_ref().and_then(|daemon| daemon.address.root());
        root.unwrap_or(&self.data).join("nix/store")
    }
}

/// A Nix daemon, and how it is to work.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Where it is; its store must be on this machine.
    pub address: DaemonAddress,
    /// What it is told.
    pub options: DaemonOptions,
}

/// Machines that builds are sent to.
#[derive(Clone, Debug, Default)]
pub struct Machines {
    /// Each with the address at which its daemon is.
    pub machines: Vec<(Machine, DaemonAddress)>,
    /// Whether they take inputs from binary caches, as far as those have them, instead of being sent all.
    pub substitutes: bool,
}

/// An argument of the command line.
#[derive(Clone, Debug)]
pub enum Argument {
    /// `--arg`: an expression.
    Expression(String),
    /// `--argstr`: a string.
    String(String),
}
