//! An image to a running container.
//!
//! Layer: above `image`, which says what there is, and `sandbox`, which makes a process that sees it; below the command
//! line alone.
//!
//! Architecture invariant: this crate knows neither registries nor derivations. An image is given to it, whatever made
//! it; directories are given to it too, it does not read the environment.
//!
//! # How a container is made
//! The layers are unpacked once each into a cache (`layers`, `unpack`); store objects of an image that was built here
//! are not unpacked but mounted from the store. The root is an overlay of these with a writable layer that is gone at
//! the end (`container`, `scratch`). Ports are carried into the container's own network by threads of this process
//! (`ports`) and out of it (`outside`); signals and the bytes of its terminal are passed on (`attend`).

mod attend;
mod command;
mod container;
mod datagrams;
mod entry;
mod error;
mod layers;
mod options;
mod outside;
mod place;
mod ports;
mod rootfs;
mod run;
mod scratch;
mod unpack;
mod user;

pub use error::RuntimeError;
pub use options::{Network, OptionError, Port, Protocol, RunOptions, Tmpfs, Volume, VolumeSource, parse_size};
pub use run::run;
