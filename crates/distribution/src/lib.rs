//! The registry client: resolve, pull, push what is missing, copy, list and delete, over the OCI distribution API.
//!
//! Layer: above `image`, whose images it pushes, and `build`, to which it brings `builtin:oci-pull`; below the command
//! line. From the bottom: [`Reference`] says what is meant; `credentials`, `challenge` and `token` get a client admitted;
//! `registry` sends requests to one registry, with retries; [`Client`] is what callers use. `transport` has the places
//! beside registries that images are copied from and to, a file each.
//!
//! It must never know the registry server, a terminal or the environment: where configuration and credentials lie is
//! told by [`Settings`]. Every byte that comes from a registry is checked against a digest before it is kept.

mod address;
mod auth_file;
mod blob;
mod byte_stream;
mod challenge;
mod client;
mod complaint;
mod copy;
mod copying;
mod credential_helper;
mod credentials;
mod docker_archive;
mod documents;
mod download;
mod early;
mod error;
mod layout;
mod oci_pull;
mod present;
mod pull;
mod push;
mod rate_limit;
mod reference;
mod registries_conf;
mod registry;
mod retry;
mod settings;
mod tls;
mod token;
mod transport;
mod upload;

pub use auth_file::AuthFile;
pub use client::{Client, Resolved};
pub use copy::{Copied, CopyOptions, Select};
pub use credentials::{Credential, CredentialError};
pub use docker_archive::archive_hash;
pub use documents::shown;
pub use early::{Destinations, EarlyPush};
pub use error::Error;
pub use image::Digest;
pub use image::media::Platform;
pub use oci_pull::OciPull;
pub use pull::Pulled;
pub use push::{PushOptions, Pushed};
pub use rate_limit::RateLimit;
pub use reference::{InvalidReference, Reference};
pub use registries_conf::RegistriesConf;
pub use settings::{DockerHost, Registries, Retries, Settings};
pub use transport::{InvalidPlace, Place};
