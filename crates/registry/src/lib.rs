//! The OCI registry server: the distribution specification 1.1 over HTTP, with storage, accounts and webhooks.
//!
//! Layers, from the bottom: [`digest`] and [`name`] are what the specification calls things; [`storage`] keeps blobs,
//! uploads and small ordered records behind one trait, and knows no HTTP; [`repository`] gives them meaning (links,
//! tags, manifests, referrers); `http` turns requests into those operations; [`Server`] owns the socket and the
//! background tasks.
//!
//! This crate must never know the registry client, images or the Nix store: what it serves is bytes under digests. It
//! reads no environment and prints nothing; it reports through `tracing` (target `registry::access` has one line for
//! each request).

pub mod auth;
pub mod config;
pub mod digest;
mod error;
mod http;
mod manifest;
mod metrics;
pub mod name;
pub mod repository;
mod server;
pub mod storage;
mod uploads;
mod webhooks;

pub use config::{Config, ConfigError};
pub use server::{ServeError, Server, serve};
