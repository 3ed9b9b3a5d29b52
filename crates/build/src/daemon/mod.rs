//! Building in the store of a Nix daemon.
//!
//! What the daemon can build, it builds. The builders that are part of this program run here, on inputs that are read
//! where the daemon keeps them; what they make enters as content-addressed objects, which anybody may add. So it lies at
//! another path than its derivation names, and what depends on it is built by a derivation that was resolved: one that
//! has the objects in the place of its inputs.

mod own;
mod plan;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::DaemonStore;
use store::progress::Progress;

use crate::builder::{Outlook, Realise, Realised, Taken, Wanted};
use crate::builtin::Builtin;
use crate::error::BuildError;
use crate::options::Options;
use crate::realisations::Realisations;
use crate::workplace::Workplace;
use plan::Plan;
use run::Run;

/// Builds derivations in the store of a Nix daemon on this machine.
pub struct DaemonBuilder {
    daemon: Arc<DaemonStore>,
    place: Workplace,
    /// Where what is built here is made.
    scratch: PathBuf,
    realisations: Realisations,
}

impl DaemonBuilder {
    /// A builder that knows no builtin builder and reports to nobody. What it notes, makes and logs is below `data`.
    pub fn new(daemon: Arc<DaemonStore>, options: Options, data: &Path) -> DaemonBuilder {
        let log_dir = data.join("nix/var/log/nix");
        DaemonBuilder {
            place: Workplace::new(daemon.clone(), options, log_dir, data.join("failed")),
            daemon,
            scratch: data.join("scratch"),
            realisations: Self::realisations(data),
        }
    }

    /// The notes of what was built here, below `data`.
    pub fn realisations(data: &Path) -> Realisations {
        Realisations::new(data.join("realisations"))
    }

    /// Adds a builtin builder, in place of one with the same name.
    pub fn with_builtin(mut self, builtin: Box<dyn Builtin>) -> DaemonBuilder {
        self.place.add(builtin);
        self
    }

    /// Reports to this observer.
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> DaemonBuilder {
        self.place.progress = progress;
        self
    }
}

impl Realise for DaemonBuilder {
    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, BuildError> {
        let plan = Plan::new(self, wanted)?;
        Run::new(self, &plan).realise(wanted)
    }

    fn outlook(&self, wanted: &[Wanted]) -> Result<Outlook, BuildError> {
        let plan = Plan::new(self, wanted)?;
        let theirs = self.daemon.outlook(&plan.derived())?;
        let (download_size, nar_size) = (theirs.download_size, theirs.nar_size);
        let take = theirs.substitute.into_iter();
        let take = take.map(|path| Taken { path, download_size: None, nar_size: None, info: None }).collect();
        let mut build: Vec<_> = theirs.build.into_iter().collect();
        build.extend(plan.nodes.iter().map(|node| node.path.clone()));
        Ok(Outlook { build, take, download_size, nar_size })
    }
}
