//! What can go wrong, by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use image::{Digest, ImageError};

use crate::credentials::CredentialError;
use crate::reference::InvalidReference;

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reference is not one.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The registry does not have it.
    #[error("{registry} has no {what}")]
    NotFound {
        /// The registry's address.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The registry does not let us.
    #[error("{registry} does not permit to {action}: {reason}")]
    Unauthorized {
        /// The registry's address.
        registry: String,
        /// What was tried.
        action: String,
        /// What it said, and whether an account was used.
        reason: String,
    },
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A version tag points to something else.
    #[error(
        "the tag {reference} points to {current}; pushing would move it to {new}. Push with force to move it, or choose another tag"
    )]
    TagMoves {
        /// The tag.
        reference: String,
        /// What it points to.
        current: Digest,
        /// What it would point to.
        new: Digest,
    },
    /// No manifest for the platform.
    #[error("{reference} has no image for {wanted}; it has {available}")]
    Platform {
        /// The index.
        reference: String,
        /// The platform that was asked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// What arrived is not what its digest says.
    #[error("{what} from {registry} is not what its digest says: expected {expected}, got {found}")]
    Corrupt {
        /// What it is.
        what: String,
        /// The registry's address.
        registry: String,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        found: String,
    },
    /// The registry said no, or something that cannot be understood.
    #[error("{registry} refused to {action}: {message}")]
    Refused {
        /// The registry's address.
        registry: String,
        /// What was tried.
        action: String,
        /// The status and the registry's own words.
        message: String,
    },
    /// The registry cannot be reached, or went away.
    #[error("cannot reach {registry} to {action}: {message}")]
    Unreachable {
        /// The registry's address.
        registry: String,
        /// What was tried.
        action: String,
        /// The whole chain of causes.
        message: String,
    },
    /// A program or daemon that a transport needs is not there.
    #[error("{what}: {reason}")]
    Missing {
        /// What is needed, and by what.
        what: String,
        /// Why it cannot be used.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// A program or daemon that a transport needs has failed.
    #[error("{program} failed to {action}: {message}")]
    Program {
        /// The program.
        program: String,
        /// What it was to do.
        action: String,
        /// Its own last words.
        message: String,
    },
    /// The configuration forbids to talk to the registry.
    #[error("{reference} is blocked by {}", file.display())]
    Blocked {
        /// The image.
        reference: String,
        /// The file that says so.
        file: PathBuf,
    },
    /// A file here.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The image to push cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A document is not what the image specification says.
    #[error("{what} cannot be used: {reason}")]
    Unusable {
        /// The document.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    /// What a user can do about it, where there is something.
    pub fn help(&self) -> Option<&str> {
        match self {
            Error::Missing { help, .. } => Some(help),
            _ => None,
        }
    }

    /// Whether the next mirror may have better luck.
    pub(crate) fn try_elsewhere(&self) -> bool {
        !matches!(self, Error::Io { .. } | Error::Settings(_) | Error::Platform { .. } | Error::Image(_))
    }
}

/// For `map_err`: a failure of a file operation.
pub(crate) fn io_error(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { action, path, source }
}

/// An error with everything that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}
