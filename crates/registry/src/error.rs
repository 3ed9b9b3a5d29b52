//! What can go wrong with a request, with the code and status that the OCI distribution specification gives it.

use std::io;

use hyper::StatusCode;

use crate::digest::{Digest, InvalidDigest};
use crate::name::{InvalidName, InvalidReference};

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such blob in this repository.
    #[error("the repository has no blob {0}")]
    BlobUnknown(Digest),
    /// Bytes or parameters of an upload that cannot be taken.
    #[error("{0}")]
    UploadInvalid(String),
    /// No such upload in this repository.
    #[error("there is no such upload; it may have been finished, cancelled or expired")]
    UploadUnknown,
    /// A chunk that does not follow what is there.
    #[error("the chunk does not start where the upload stands, at byte {offset}")]
    RangeInvalid {
        /// How many bytes the upload has.
        offset: u64,
    },
    /// The content is not what the digest says.
    #[error("the content has the digest {actual}, not {claimed}")]
    DigestMismatch {
        /// What the client said.
        claimed: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// Not a digest.
    #[error(transparent)]
    DigestInvalid(#[from] InvalidDigest),
    /// A manifest that refers to what is not here.
    #[error("the manifest refers to {0}, which the repository does not have")]
    ManifestBlobUnknown(Digest),
    /// A manifest that is not one.
    #[error("{0}")]
    ManifestInvalid(String),
    /// No such manifest or tag.
    #[error("the repository has no manifest {0}")]
    ManifestUnknown(String),
    /// A body above the limit.
    #[error("a manifest may have at most {limit} bytes")]
    ManifestTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not a repository name or tag.
    #[error(transparent)]
    NameInvalid(#[from] InvalidName),
    /// No such repository.
    #[error("there is no repository {0}")]
    NameUnknown(String),
    /// Not as many bytes as announced.
    #[error("{announced} bytes were announced, {arrived} came")]
    SizeInvalid {
        /// `Content-Length` or the length of `Content-Range`.
        announced: u64,
        /// What came.
        arrived: u64,
    },
    /// A paging parameter that is no number.
    #[error("n must be a number from 0, it is `{0}`")]
    PageSizeInvalid(String),
    /// Nobody has said who asks, or not well enough.
    #[error("{0}")]
    Unauthorized(String),
    /// This registry does not do that.
    #[error("{0}")]
    Unsupported(String),
    /// No such page.
    #[error("there is nothing at this address")]
    NotFound,
    /// The client went away or sent nothing for too long.
    #[error("the request's body broke off: {0}")]
    BrokenBody(String),
    /// The disk, mostly. The client is told no details.
    #[error("the storage failed: {0}")]
    Storage(#[from] io::Error),
}

impl From<InvalidReference> for Error {
    fn from(error: InvalidReference) -> Error {
        match error {
            InvalidReference::Tag(error) => Error::NameInvalid(error),
            InvalidReference::Digest(error) => Error::DigestInvalid(error),
        }
    }
}

impl Error {
    /// The specification's code.
    pub fn code(&self) -> &'static str {
        match self {
            Error::BlobUnknown(_) => "BLOB_UNKNOWN",
            Error::UploadInvalid(_) | Error::RangeInvalid { .. } | Error::BrokenBody(_) => "BLOB_UPLOAD_INVALID",
            Error::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Error::DigestMismatch { .. } | Error::DigestInvalid(_) => "DIGEST_INVALID",
            Error::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Error::ManifestInvalid(_) => "MANIFEST_INVALID",
            Error::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
            Error::NameInvalid(_) => "NAME_INVALID",
            Error::NameUnknown(_) => "NAME_UNKNOWN",
            Error::SizeInvalid { .. } | Error::ManifestTooLarge { .. } => "SIZE_INVALID",
            Error::PageSizeInvalid(_) => "PAGINATION_NUMBER_INVALID",
            Error::Unauthorized(_) => "UNAUTHORIZED",
            Error::Unsupported(_) => "UNSUPPORTED",
            Error::NotFound => "NOT_FOUND",
            Error::Storage(_) => "UNKNOWN",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::BlobUnknown(_)
            | Error::UploadUnknown
            | Error::ManifestUnknown(_)
            | Error::NameUnknown(_)
            | Error::NotFound => StatusCode::NOT_FOUND,
            Error::RangeInvalid { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Error::ManifestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Unsupported(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::Storage(error) if error.kind() == io::ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Error::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What the client is told. What went wrong inside is for the log only.
    pub fn public_message(&self) -> String {
        match self {
            Error::Storage(error) if error.kind() == io::ErrorKind::StorageFull => {
                "the registry's storage is full".into()
            }
            Error::Storage(_) => "the registry's storage failed; its log says more".into(),
            other => other.to_string(),
        }
    }
}
