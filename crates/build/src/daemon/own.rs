//! Running a builder that is part of this program, for a daemon's store.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix_formats::derivation::{Derivation, Output, OutputName};
use nix_formats::self_hash::Places;
use nix_formats::store_path::StorePath;
use store::progress::{Activity, Outcome, Task};
use store::{PathInfo, Store, StoreError, fs_nar};
use tempfile::TempDir;

use super::DaemonBuilder;
use crate::content_addressed::{Addressed, Made, address};
use crate::error::BuildError;
use crate::graph::{Node, output_paths};
use crate::job::Job;
use crate::{floating, outputs};

/// Builds a derivation that was resolved from `path`, and adds what it makes. The outputs' paths are those that follow from
/// their content.
pub(super) fn build(
    builder: &DaemonBuilder,
    path: &StorePath,
    resolved: Derivation,
    cancelled: &OwnedFd,
) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
    let directory = Scratch::new(&builder.scratch)?;
    let outputs = output_paths(path, &resolved)?;
    let node = Node { path: path.clone(), derivation: resolved, outputs, waits_for: 0, needed_by: Vec::new() };
    let job = Job::prepare(&builder.place, &node, directory.path())?;
    let task = Task::start(&*builder.place.progress, Activity::Build, &node.derivation.name, None);
    let made = floating::take_over(&job, &job.build(&task, cancelled)?)?;
    let outputs = match enter(builder, &job, &made, Places::Counted) {
        Err(error) if is_of_places(&error) => enter(builder, &job, &made, Places::LeftOut)?,
        entered => entered?,
    };
    task.finish(Outcome::Done);
    Ok(outputs)
}

/// Whether a daemon refuses an object because its Nix hashes objects that mention themselves in the other way.
fn is_of_places(error: &BuildError) -> bool {
    matches!(error, BuildError::Store(StoreError::DaemonSaid { message, .. }) if message.contains("ca hash mismatch"))
}

/// Adds the outputs to the daemon's store.
fn enter(
    builder: &DaemonBuilder,
    job: &Job<'_>,
    made: &BTreeMap<OutputName, Made>,
    places: Places,
) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
    let addressed = address(&job.node.path, made, places)?;
    let infos: BTreeMap<OutputName, PathInfo> =
        addressed.iter().map(|(name, one)| (name.clone(), one.info.clone())).collect();
    for (name, info) in &infos {
        if let (Output::Fixed(fixed), Some(found)) = (&job.node.derivation.outputs[name], &info.content_address) {
            outputs::check_content(job, name, fixed, &found.hash, info)?;
        }
    }
    crate::checks::check(job, &infos)?;
    compare(builder, &job.node.path, &infos, &addressed)?;
    for one in floating::in_order(&addressed) {
        add(builder, one)?;
    }
    Ok(infos.into_iter().map(|(name, info)| (name, info.path)).collect())
}

fn add(builder: &DaemonBuilder, one: &Addressed) -> Result<(), BuildError> {
    let path = &one.info.path;
    builder.daemon.add_temp_root(path)?;
    if builder.daemon.is_valid(path)? {
        return Ok(());
    }
    floating::send(&*builder.daemon, one)
}

/// What was made before, by the same derivation, must have been the same, if that is asked for.
fn compare(
    builder: &DaemonBuilder,
    path: &StorePath,
    infos: &BTreeMap<OutputName, PathInfo>,
    addressed: &BTreeMap<OutputName, Addressed>,
) -> Result<(), BuildError> {
    if !builder.place.options.check {
        return Ok(());
    }
    for (name, info) in infos {
        let Some(before) = builder.realisations.find(path, name) else { continue };
        if before == info.path || !builder.daemon.is_valid(&before)? {
            continue;
        }
        add(builder, &addressed[name])?;
        let (registered, rebuilt) = (builder.daemon.real_path(&before), builder.daemon.real_path(&info.path));
        let differences = crate::difference::differences(&registered, &rebuilt)
            .map_err(BuildError::file("compare the output with", &rebuilt))?;
        let (derivation, output) = (path.clone(), name.clone());
        return Err(BuildError::NotDeterministic { derivation, output, registered, rebuilt, differences });
    }
    Ok(())
}

/// A directory that goes with this, whatever modes a builder has left in it.
struct Scratch(Option<TempDir>);

impl Scratch {
    fn new(parent: &std::path::Path) -> Result<Scratch, BuildError> {
        fs::create_dir_all(parent).map_err(BuildError::file("create the directory", parent))?;
        let directory = tempfile::tempdir_in(parent).map_err(BuildError::file("create a directory in", parent))?;
        Ok(Scratch(Some(directory)))
    }

    fn path(&self) -> PathBuf {
        self.0.as_ref().map(|directory| directory.path().to_owned()).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(directory) = self.0.take() {
            // What cannot be deleted now stays; nobody is harmed by it.
            let _ = fs_nar::remove(&directory.keep());
        }
    }
}
