//! Nix's formats: hashes, store paths, derivations, NAR, narinfo, signatures, realisations, flake references and locks.
//!
//! **Layer.** The lowest crate of the workspace. Everything here turns bytes into plain data and back, exactly as
//! C++ Nix does, so that the same expression gives the same derivation path and the same tree the same hash.
//!
//! **It must never know** a file system, a socket, an environment variable or a clock: streaming codecs read and
//! write through [`std::io::Read`] and [`std::io::Write`] that the caller brings. There is no async here either.
//!
//! The store directory is always `/nix/store` ([`STORE_DIR`]): it is part of every hash, and wherever the objects
//! really lie is a matter of the `store` crate.

pub mod content_address;
pub mod derivation;
pub mod flake_lock;
pub mod flake_ref;
pub mod hash;
pub mod machines;
pub mod nar;
pub mod narinfo;
pub mod nix32;
pub mod nix_conf;
pub mod placeholder;
pub mod realisation;
pub mod self_hash;
pub mod signature;
pub mod store_path;
pub mod worker;

/// The store directory that every path and hash is computed for.
pub const STORE_DIR: &str = "/nix/store";
