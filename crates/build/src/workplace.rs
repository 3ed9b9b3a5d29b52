//! What every build here needs, whichever store it is for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Once, OnceLock};

use store::Store;
use store::progress::{Progress, Silent};

use crate::builtin::Builtin;
use crate::confinement::{Confinement, Unconfined};
use crate::options::Options;

/// What every build here needs.
pub(crate) struct Workplace {
    /// Has the inputs.
    pub store: Arc<dyn Store>,
    pub options: Options,
    /// The builders that are part of the program, by name.
    pub builtins: BTreeMap<String, Box<dyn Builtin>>,
    pub progress: Arc<dyn Progress>,
    /// Where logs go.
    pub log_dir: PathBuf,
    /// Where the directories of failed builds are kept.
    pub kept: PathBuf,
    /// That limits have no effect is said once.
    pub told_of_limits: Once,
    /// What the kernel allows, found out for the first builder.
    pub confinement: OnceLock<Result<Confinement, Unconfined>>,
}

impl Workplace {
    /// One without builtin builders that reports to nobody.
    pub fn new(store: Arc<dyn Store>, options: Options, log_dir: PathBuf, kept: PathBuf) -> Workplace {
        let (builtins, progress) = (BTreeMap::new(), Arc::new(Silent));
        let (told_of_limits, confinement) = (Once::new(), OnceLock::new());
        Workplace { store, options, builtins, progress, log_dir, kept, told_of_limits, confinement }
    }

    /// Adds a builtin builder, in place of one with the same name.
    pub fn add(&mut self, builtin: Box<dyn Builtin>) {
        self.builtins.insert(builtin.name().to_owned(), builtin);
    }
}
