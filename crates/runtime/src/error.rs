//! What can go wrong with running a container, by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use image::{Digest, ImageError};

/// Why a container could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer holds what cannot be unpacked.
    #[error("layer {layer} cannot be unpacked: entry '{}': {problem}", entry.display())]
    Layer {
        /// The layer's diff ID.
        layer: Digest,
        /// The entry of its archive; empty for the archive as a whole.
        entry: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Neither the image nor the options say what to run.
    #[error("there is nothing to run: the image has neither Cmd nor Entrypoint; give a command after the image")]
    NoCommand,
    /// The user or group is not in the image.
    #[error("the image has no {kind} '{name}' in its {file}; give a number instead")]
    NoSuchUser {
        /// `user` or `group`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// An option cannot be honoured.
    #[error("{0}")]
    Option(String),
    /// A port of the host is taken, or may not be used.
    #[error("cannot listen on {address} for the published port: {source}")]
    Port {
        /// The host's address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The program is not in the image.
    #[error("cannot start '{program}': {source}; the image has no such program, or its interpreter is missing")]
    Program {
        /// The program as it was given.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The container could not be set up.
    #[error("cannot start the container: {0}")]
    Sandbox(#[from] sandbox::Error),
    /// A file of the host failed.
    #[error("cannot {action} '{}': {source}", path.display())]
    File {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RuntimeError {
    pub(crate) fn file<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> RuntimeError {
        let path = path.into();
        move |source| RuntimeError::File { action, path, source: source.into() }
    }
}
