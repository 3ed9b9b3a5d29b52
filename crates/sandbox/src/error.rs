//! What can go wrong, by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use crate::refusal;

/// A process could not be started, watched or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description cannot be carried out on any machine.
    #[error("the sandbox description is wrong: {0}")]
    Description(String),
    /// The kernel, or a policy of this machine, refuses new namespaces.
    #[error("the kernel refuses a new namespace ({source}); {remedy}")]
    Namespaces {
        /// The kernel's answer.
        source: io::Error,
        /// What to do about it.
        remedy: String,
    },
    /// The ids of the new user namespace could not be set.
    #[error("cannot set the ids of the new user namespace in {path}: {source}")]
    IdMap {
        /// The kernel's file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step between the clone and the program failed.
    #[error("cannot {step} in the sandbox: {source}")]
    Setup {
        /// What was being done, as a verb phrase.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The layers of an overlay root could not be stacked, as on a file system that cannot hold its upper directory.
    #[error("cannot stack the layers of the root: {source}")]
    Overlay {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program could not be executed.
    #[error("cannot execute {program} in the sandbox: {source}")]
    Execute {
        /// The program's path inside the sandbox.
        program: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another system call of the parent failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was being done, as a verb phrase.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { what, source: source.into() }
    }

    pub(crate) fn namespaces(source: impl Into<io::Error>) -> Error {
        Error::Namespaces { source: source.into(), remedy: refusal::remedy() }
    }

    /// The kernel's answer, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Error::Description(_) => None,
            Error::Namespaces { source, .. }
            | Error::IdMap { source, .. }
            | Error::Setup { source, .. }
            | Error::Overlay { source }
            | Error::Execute { source, .. }
            | Error::System { source, .. } => Some(source),
        }
    }
}
