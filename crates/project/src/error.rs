//! Why a target could not be evaluated or made.

use std::path::{Path, PathBuf};

use build::BuildError;
use image::ImageError;
use store::StoreError;

/// Why a target could not be evaluated or made, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line names nothing that is there.
    #[error("{message}")]
    Target {
        /// One sentence without a final stop.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// The evaluation failed.
    #[error("{error}")]
    Eval {
        /// Why, and where in the text.
        error: Box<eval::Error>,
        /// What to do about it, where this crate knows more than the evaluator.
        help: Option<String>,
    },
    /// The value is not of the kind that was asked for.
    #[error("{what} is {found}, but {wanted}")]
    Kind {
        /// What was looked at, as "the value of './web.nix'".
        what: String,
        /// What it is, with an article.
        found: String,
        /// What it would have to be, as a clause.
        wanted: &'static str,
    },
    /// A file could not be dealt with.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried, a verb phrase.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A build failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// What was built is no image, or a damaged one.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Error {
    pub(crate) fn target(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Target { message: message.into(), help: help.into() }
    }

    /// For `map_err`: what was tried on which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<Box<eval::Error>> for Error {
    fn from(error: Box<eval::Error>) -> Self {
        Self::Eval { error, help: None }
    }
}
