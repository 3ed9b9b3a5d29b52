//! A target to its derivations, images and values.
//!
//! Layer: above `eval`, `store`, `fetch`, `build`, `image` and `distribution`, which it joins: it implements the
//! evaluator's [`eval::Host`] over them, brings the built-in builders together, and knows where a target's `pkgs` comes
//! from. Below `deploy` and the command line.
//!
//! Architecture invariant: it knows neither terminal nor environment; what it needs from there is in [`Options`].

mod assemble;
mod deployment;
mod derivations;
mod derived;
mod elsewhere;
mod embedded;
mod error;
mod eval_cache;
mod evaluate;
mod files;
mod flake_inputs;
mod flake_with_packages;
mod host;
mod inputs;
mod instantiable;
mod locks;
mod native;
mod options;
mod outline;
mod own_binary;
mod packages;
mod pins;
mod platforms;
mod project;
mod pull_sites;
mod services;
mod sources;
mod target;

pub use assemble::Assembled;
pub use deployment::{ContainerImage, Deployment};
pub use derived::Derived;
pub use error::Error;
pub use host::Variables;
pub use instantiable::instantiable;
pub use locks::{LockReport, LockSettings};
pub use options::{Argument, Daemon, Machines, Options};
pub use outline::{Item, Outline, OutlineOptions};
pub use packages::Packages;
pub use pins::{FILE_NAME as LOCK_FILE, Pin, Pins};
pub use project::Project;
pub use pull_sites::{Digest, Edit, PullSite, apply as apply_edits, find as find_pull_sites};
pub use target::{Named, Source, Target};
