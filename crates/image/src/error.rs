//! What can go wrong, by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use crate::Digest;

/// An image that cannot be built, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused.
    #[error("{action}: {source}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The store refused, or lacks an object.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The definition asks for something that cannot be.
    #[error("{0}")]
    Definition(String),
    /// A file that should be an image is not one, or is damaged.
    #[error("{path} is not a usable image: {reason}", path = path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer's bytes are not what they were when the image was built.
    #[error("a layer has changed since the image was built: it should be {expected} and is {found}; check the store")]
    Changed {
        /// The recorded digest.
        expected: Digest,
        /// The digest of the bytes that were read.
        found: Digest,
    },
}

/// For `map_err`: says what was being done when the file system refused.
pub(crate) fn io_error<S: Into<String>>(action: S) -> impl FnOnce(io::Error) -> ImageError {
    move |source| match source.downcast::<ImageError>() {
        // An error that had to pass through an `io` interface on its way here.
        Ok(error) => error,
        Err(source) => ImageError::Io { action: action.into(), source },
    }
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        Self::other(error)
    }
}
