//! What a project is told.

use std::path::PathBuf;
use std::sync::Arc;

use store::progress::Progress;

use crate::host::Variables;
use crate::locks::LockSettings;
use crate::packages::Packages;

/// What a project is told; nothing here is read from the environment by this crate.
#[derive(Clone)]
pub struct Options {
    /// The root of the store.
    pub data: PathBuf,
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

/// An argument of the command line.
#[derive(Clone, Debug)]
pub enum Argument {
    /// `--arg`: an expression.
    Expression(String),
    /// `--argstr`: a string.
    String(String),
}
