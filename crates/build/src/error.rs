//! What can go wrong with a build, by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use nix_formats::derivation::OutputName;
use nix_formats::hash::Hash;
use nix_formats::store_path::StorePath;
use store::StoreError;
use store::fs_nar::TreeError;

use crate::attributes::AttributeError;
use crate::builtin::BuiltinError;

/// Why something could not be built. Whichever it is, nothing of the failed derivation is registered.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A derivation has no such output.
    #[error("derivation '{}' has no output '{output}'; it has {}", derivation.to_absolute(), existing.join(", "))]
    NoSuchOutput {
        /// The derivation.
        derivation: StorePath,
        /// What was asked for.
        output: OutputName,
        /// What there is.
        existing: Vec<OutputName>,
    },
    /// A derivation cannot be built by anybody.
    #[error("derivation '{}' cannot be built: {problem}", derivation.to_absolute())]
    Derivation {
        /// The derivation.
        derivation: StorePath,
        /// What is wrong with it.
        problem: String,
    },
    /// An attribute of a derivation is of no use.
    #[error("derivation '{}' cannot be built: {source}", derivation.to_absolute())]
    Attribute {
        /// The derivation.
        derivation: StorePath,
        /// Which and why.
        source: AttributeError,
    },
    /// This machine is not what the derivation needs.
    #[error(
        "derivation '{}' needs {needed}, but this machine is {available}; build it on such a machine",
        derivation.to_absolute()
    )]
    Machine {
        /// The derivation.
        derivation: StorePath,
        /// The system or features that it needs.
        needed: String,
        /// What this machine has.
        available: String,
    },
    /// Neither this machine nor another one is what the derivation needs.
    #[error(
        "derivation '{}' needs a '{system}' machine{}, and there is none; there are\n{}",
        derivation.to_absolute(), with_features(features), machines.iter().map(|one| format!("- {one}")).collect::<Vec<_>>().join("\n")
    )]
    NoMachine {
        /// The derivation.
        derivation: StorePath,
        /// The system that it needs.
        system: String,
        /// The features that it needs.
        features: Vec<String>,
        /// What there is.
        machines: Vec<String>,
    },
    /// A Nix daemon could not build something.
    #[error("the Nix daemon at '{address}' could not build '{what}': {message}")]
    Daemon {
        /// Where the daemon is.
        address: String,
        /// What it was asked for.
        what: String,
        /// What it says.
        message: String,
    },
    /// The kernel refuses what a sandbox is made of, and it cannot be done without.
    #[error("cannot run the builder of '{}': {refusal}. {}", derivation.to_absolute(), sentence(problem))]
    Unconfined {
        /// The derivation.
        derivation: StorePath,
        /// The kernel's answer, and what to do about it.
        refusal: String,
        /// Why it cannot be done without.
        problem: String,
    },
    /// The builder could not be started.
    #[error("cannot start the builder of '{}': {source}", derivation.to_absolute())]
    Start {
        /// The derivation.
        derivation: StorePath,
        /// Why.
        source: sandbox::Error,
    },
    /// The builder has failed.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// A builder that is part of the program has failed.
    #[error("builder '{builder}' of '{}' failed: {source}", derivation.to_absolute())]
    Builtin {
        /// The derivation.
        derivation: StorePath,
        /// The builder, as `builtin:fetchurl`.
        builder: String,
        /// Why.
        source: BuiltinError,
    },
    /// A fixed output is not what was announced.
    #[error(
        "hash mismatch in fixed-output derivation '{}':\n  specified: {}\n     got:    {}",
        derivation.to_absolute(), specified.to_sri(), got.to_sri()
    )]
    HashMismatch {
        /// The derivation.
        derivation: StorePath,
        /// The hash in the derivation.
        specified: Box<Hash>,
        /// The hash of what was made.
        got: Box<Hash>,
    },
    /// An output is missing, or is what an output must not be.
    #[error("output '{output}' of '{}' is rejected: {problem}", derivation.to_absolute())]
    Output {
        /// The derivation.
        derivation: StorePath,
        /// The output.
        output: OutputName,
        /// Why.
        problem: String,
    },
    /// An output holds what a store cannot, as a socket.
    #[error("output '{output}' of '{}' is rejected: {source}", derivation.to_absolute())]
    Tree {
        /// The derivation.
        derivation: StorePath,
        /// The output.
        output: OutputName,
        /// What and where.
        source: TreeError,
    },
    /// Building again has given something else.
    #[error(
        "derivation '{}' is not deterministic: output '{output}' differs from '{}'; the new one is in '{}'\n{}",
        derivation.to_absolute(), registered.display(), rebuilt.display(), differences.join("\n")
    )]
    NotDeterministic {
        /// The derivation.
        derivation: StorePath,
        /// The output.
        output: OutputName,
        /// What is in the store.
        registered: PathBuf,
        /// What was made now.
        rebuilt: PathBuf,
        /// The places where they differ, not all if there are many.
        differences: Vec<String>,
    },
    /// A file of the builder's surroundings failed.
    #[error("cannot {action} '{}': {source}", path.display())]
    File {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A build was given up, since another one failed.
    #[error("the build of '{}' was given up, since another build failed", derivation.to_absolute())]
    Cancelled {
        /// The derivation.
        derivation: StorePath,
    },
    /// Several derivations have failed, with [`crate::Options::keep_going`].
    #[error("{} derivations failed:\n{}", .0.len(), list(.0))]
    Several(Vec<BuildError>),
}

/// A builder that has failed, and what it said.
#[derive(Debug)]
pub struct Failure {
    /// The derivation.
    pub derivation: StorePath,
    /// How it ended, as a verb phrase: "exited with status 1".
    pub ending: String,
    /// The last lines that it wrote.
    pub last_lines: Vec<String>,
    /// The file with everything that it wrote, compressed; absent if it wrote nothing.
    pub log: Option<PathBuf>,
    /// The build directory, if it was kept.
    pub kept: Option<PathBuf>,
    /// Whether hardly any space is left, which may be the cause.
    pub disk_full: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the builder of '{}' {}", self.derivation.to_absolute(), self.ending)?;
        if self.disk_full {
            f.write_str("; the disk is full or nearly so, which may be the cause")?;
        }
        match self.last_lines.len() {
            0 => f.write_str("\nIt wrote nothing.")?,
            1 => f.write_str("\nThe last line of its log:\n")?,
            count => write!(f, "\nThe last {count} lines of its log:\n")?,
        }
        for line in &self.last_lines {
            writeln!(f, "> {line}")?;
        }
        if let Some(log) = &self.log {
            write!(
                f,
                "The whole log is in '{}'; to see it:\n  wharf log {}",
                log.display(),
                self.derivation.to_absolute()
            )?;
        }
        if let Some(kept) = &self.kept {
            write!(f, "\nThe build directory was kept: '{}'", kept.display())?;
        }
        Ok(())
    }
}

fn with_features(features: &[String]) -> String {
    if features.is_empty() { String::new() } else { format!(" with the features {}", features.join(", ")) }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn list(errors: &[BuildError]) -> String {
    errors.iter().map(|error| format!("- {error}")).collect::<Vec<_>>().join("\n")
}

impl BuildError {
    pub(crate) fn file<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> BuildError {
        let path = path.into();
        move |source| BuildError::File { action, path, source: source.into() }
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        let full =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            BuildError::Store(error) => error.is_disk_full(),
            BuildError::File { source, .. } => full(source),
            BuildError::Failed(failure) => failure.disk_full,
            BuildError::Tree { source: TreeError::Io { source, .. }, .. } => full(source),
            BuildError::Several(errors) => errors.iter().any(BuildError::is_disk_full),
            _ => false,
        }
    }
}
