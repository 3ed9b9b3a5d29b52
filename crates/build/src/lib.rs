//! Derivation graph to store objects.
//!
//! Layer: above `store`, which keeps what is built, and `sandbox`, in which builders run; below `image`, `distribution`
//! and `project`, which bring builders of their own as a [`Builtin`].
//!
//! Architecture invariant: this crate knows derivations, not how they come to be (no evaluation) nor what their outputs
//! mean (no images). It does not read the environment: what a build may take from there is given to it.
//!
//! # How something is built
//! [`Builder::realise`] reads the derivations behind what is wanted as far as they are missing (`graph`), takes what a
//! binary cache has (`substitute`), and works through the others with several threads (`schedule`). Each (`job`) is locked against other processes; its builder runs in
//! a sandbox that shows the closure of its inputs and nothing else (`ordinary`), in the environment that Nix gives it
//! (`environment`, `structured`, `graphs`), or is a [`Builtin`]. What it made is then given canonical metadata, read
//! once for its hash and its references (`outputs`, `references`), checked (`checks`), moved into the store and
//! registered, all outputs or none. Everything is made in a staging directory of the store that goes with the process.
//! Where only building tells the path of an output, what needs it is resolved first (`dynamic`).
//! Other machines ([`Farm`]) are sent what they take (`remote`).
//!
//! [`DaemonBuilder`] does the same for the store of a Nix daemon (`daemon`): the daemon builds, and what is part of this
//! program enters as content-addressed objects (`content_addressed`).

mod attributes;
mod build_user;
mod buildenv;
mod builder;
mod builtin;
mod checks;
mod confinement;
mod content_addressed;
mod daemon;
mod difference;
mod dynamic;
mod environment;
mod error;
mod farm;
mod fetchurl;
mod floating;
mod graph;
mod graphs;
mod job;
mod known_realisations;
mod log;
mod machine_view;
mod needs;
mod options;
mod ordinary;
mod outputs;
mod realisations;
mod references;
mod remote;
mod rewrite;
mod rules;
mod schedule;
mod structured;
mod substitute;
mod traces;
mod unconfined;
mod workplace;

pub use attributes::{AttributeError, Attributes};
pub use builder::{Builder, Outlook, Realise, Realised, Taken, Wanted};
pub use builtin::{Builtin, BuiltinContext, BuiltinError, BuiltinOutput};
pub use daemon::DaemonBuilder;
pub use error::{BuildError, Failure};
pub use farm::Farm;
pub use fetchurl::{FetchUrl, Fetcher};
pub use known_realisations::{known_to_daemon, known_to_store};
pub use log::log_path;
pub use options::{Isolation, Options};
pub use realisations::Realisations;
pub use sandbox::{Limits, Watch};
