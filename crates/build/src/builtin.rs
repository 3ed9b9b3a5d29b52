//! Builders that are part of the program: `builder = "builtin:…"`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix_formats::derivation::{Derivation, OutputName};
use nix_formats::store_path::StorePath;
use store::Store;
use store::progress::{Progress, TaskId};

use crate::attributes::Attributes;

/// A builder that is part of the program. It runs in the caller's process, without a sandbox, so it must not run what
/// it is given, and must write nowhere but to its outputs and its scratch directory.
///
/// What it makes is then treated as any builder's output: metadata made canonical, references found by scanning, the
/// hash of a fixed output checked, registered.
pub trait Builtin: Send + Sync {
    /// The whole value of the derivation's `builder`, as `builtin:oci-image`.
    fn name(&self) -> &str;

    /// Makes every output of the derivation.
    ///
    /// # Errors
    /// Any; its text is shown as the reason why the derivation could not be built.
    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError>;
}

/// Why a builtin builder has failed.
pub type BuiltinError = Box<dyn Error + Send + Sync>;

/// What a builtin builder is given.
pub struct BuiltinContext<'a> {
    /// The derivation's own path.
    pub derivation_path: &'a StorePath,
    /// The derivation.
    pub derivation: &'a Derivation,
    /// Its attributes, with the placeholders of its outputs replaced by their paths.
    pub attributes: &'a Attributes,
    /// The store that has the inputs. [`Store::real_path`] tells where an input can be read.
    pub store: &'a dyn Store,
    /// The inputs and everything that they refer to.
    pub input_closure: &'a BTreeSet<StorePath>,
    /// An empty directory, removed after the build.
    pub scratch: &'a Path,
    /// Hears of progress, with [`BuiltinContext::task`].
    pub progress: &'a dyn Progress,
    /// This build, to the progress observer.
    pub task: TaskId,
    /// Every output by name.
    pub outputs: &'a BTreeMap<OutputName, BuiltinOutput>,
    /// Becomes readable when the build is to be given up; a builder that waits for something watches it.
    pub cancelled: Option<BorrowedFd<'a>>,
    /// Takes the lines of the build's log; [`BuiltinContext::log`] is shorter.
    pub log_line: &'a dyn Fn(&str),
}

/// Where an output is to be made, and what it will be called.
#[derive(Debug, Clone)]
pub struct BuiltinOutput {
    /// Its path in the store, by which contents refer to it.
    pub path: StorePath,
    /// Where to make it: nothing is there yet, and its parent directory exists.
    pub real_path: PathBuf,
}

impl BuiltinContext<'_> {
    /// The output of this name.
    ///
    /// # Errors
    /// The derivation has no such output.
    pub fn output(&self, name: &str) -> Result<&BuiltinOutput, BuiltinError> {
        self.outputs.get(name).ok_or_else(|| format!("the derivation has no output '{name}'").into())
    }

    /// Adds a line to the build's log.
    pub fn log(&self, line: &str) {
        (self.log_line)(line);
    }
}
