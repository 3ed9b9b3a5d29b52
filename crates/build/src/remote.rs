//! Building a derivation on another machine: what it needs is sent there, what it makes is taken back.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix_formats::derivation::{Kind, Output, OutputName};
use nix_formats::store_path::StorePath;
use nix_formats::worker::{BuildResult, BuildStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use store::daemon::{DaemonStore, Watching};
use store::progress::{Activity, Outcome, Progress, Task, TaskId};
use store::{PathInfo, Store, StoreError};

use crate::builder::Builder;
use crate::error::{BuildError, Failure};
use crate::farm::{Seat, Station};
use crate::graph::{self, Node};
use crate::log::{BuildLog, log_path};
use crate::schedule::Attempt;
use crate::{dynamic, job};

/// Builds a derivation on the machine of a seat, unless another process has done so meanwhile.
pub(crate) fn run(
    builder: &Builder,
    node: &Node,
    seat: &Seat<'_>,
    station: &Station,
    cancelled: &OwnedFd,
) -> Result<Attempt, BuildError> {
    let outputs: Vec<StorePath> = node.outputs.values().cloned().collect();
    for output in &outputs {
        builder.store.add_temp_root(output)?;
    }
    let locks = job::lock(builder, node, &outputs)?;
    let missing = job::missing(builder, node)?;
    if missing.is_empty() {
        drop(locks);
        // What is there is compared with what this machine makes.
        return match builder.place.options.check {
            true => job::run(builder, node, cancelled).map(|()| Attempt::Done),
            false => Ok(Attempt::Done),
        };
    }
    let result = there(builder, node, station, cancelled);
    // The store locks what is added itself; whoever builds the same now makes the same.
    drop(locks);
    let result = result.and_then(|(daemon, result)| take_back(builder, node, daemon, &missing, &result));
    match result {
        Ok(()) => Ok(Attempt::Done),
        Err(_) if is_cancelled(cancelled) => Err(BuildError::Cancelled { derivation: node.path.clone() }),
        Err(Trouble::Build(error)) => Err(error),
        Err(Trouble::Machine(reason)) => {
            let name = station.name();
            builder.place.progress.warn(&format!("'{name}' builds nothing any more, for this run: {reason}"));
            seat.give_up_station(reason);
            Ok(Attempt::Again)
        }
    }
}

/// What has gone wrong.
enum Trouble {
    /// The derivation's fault, or this machine's.
    Build(BuildError),
    /// The other machine's, so that yet another may do better.
    Machine(String),
}

impl From<BuildError> for Trouble {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// What has to do with the other machine alone.
fn of_machine(error: StoreError) -> Trouble {
    Trouble::Machine(error.to_string())
}

fn is_cancelled(cancelled: &OwnedFd) -> bool {
    let mut events = [PollFd::new(cancelled, PollFlags::IN)];
    poll(&mut events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
}

/// Sends what is needed, and builds.
fn there<'a>(
    builder: &Builder,
    node: &Node,
    station: &'a Station,
    cancelled: &OwnedFd,
) -> Result<(&'a DaemonStore, BuildResult), Trouble> {
    let place = &builder.place;
    let inputs = graph::input_closure(&*place.store, &node.path, &node.derivation)?;
    let daemon = station.daemon(&place.options, &place.progress).map_err(of_machine)?;
    let content_addressed = matches!(node.derivation.kind(), Ok(Kind::Fixed | Kind::Floating));
    // Who is not trusted may have it build what is in its store.
    let trusted = content_addressed || daemon.trusts_us().map_err(of_machine)? != Some(false);
    send(builder, station, daemon, &inputs)?;
    let task = Task::start(
        &*place.progress,
        Activity::Build,
        &format!("{} on {}", node.derivation.name, station.name()),
        None,
    );
    let log = LogOf(Mutex::new(BuildLog::new(log_path(&place.log_dir, &node.path), &task)));
    let watching = Watching { progress: &log, cancelled: Some(cancelled.as_fd()) };
    let build = || daemon.build_derivation(&node.path, &node.derivation, &inputs, watching);
    let result = match trusted.then(build) {
        // Before 1.35 daemons do not say beforehand whom they trust.
        Some(Err(StoreError::DaemonSaid { message, .. })) if message.contains("not privileged") => {
            build_whole(builder, node, station, daemon, watching)
        }
        Some(result) => result.map_err(of_machine),
        None => build_whole(builder, node, station, daemon, watching),
    };
    let (last_lines, log) = log.finish()?;
    let result = result?;
    match result.status {
        BuildStatus::Done => {
            task.finish(Outcome::Done);
            Ok((daemon, result))
        }
        BuildStatus::Transient => Err(Trouble::Machine(result.message)),
        _ => Err(BuildError::Failed(Box::new(Failure {
            derivation: node.path.clone(),
            ending: format!("failed on '{}': {}", station.name(), first_line(&result.message)),
            last_lines,
            log,
            kept: None,
            disk_full: false,
        }))
        .into()),
    }
}

/// The daemon's own message goes on with lines of the log, which are shown anyway.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default().trim_end_matches([';', ':'])
}

/// Builds by the derivation itself, which is sent with all derivations behind it.
fn build_whole(
    builder: &Builder,
    node: &Node,
    station: &Station,
    daemon: &DaemonStore,
    watching: Watching<'_>,
) -> Result<BuildResult, Trouble> {
    let derivations = builder.store.closure(std::slice::from_ref(&node.path)).map_err(BuildError::from)?;
    send(builder, station, daemon, &derivations)?;
    let results = daemon.build_each(&[format!("{}!*", node.path)], false, watching).map_err(of_machine)?;
    let result = results.into_iter().next().map(|(_, result)| result);
    result.ok_or_else(|| Trouble::Machine("it says nothing of what it was asked for".to_owned()))
}

/// Sends the objects that are not there.
fn send(
    builder: &Builder,
    station: &Station,
    daemon: &DaemonStore,
    objects: &BTreeSet<StorePath>,
) -> Result<(), Trouble> {
    let _sending = station.sending.lock().unwrap_or_else(PoisonError::into_inner);
    let valid = daemon.valid_paths(objects, builder.farm.substitutes).map_err(of_machine)?;
    let missing = objects.difference(&valid).map(|path| builder.store.require(path));
    let missing = missing.collect::<Result<Vec<PathInfo>, _>>().map_err(BuildError::from)?;
    store::copy_objects(&*builder.store, missing, daemon, &*builder.place.progress).map_err(of_machine)
}

/// Takes outputs back into the store.
fn take_back(
    builder: &Builder,
    node: &Node,
    daemon: &DaemonStore,
    missing: &BTreeSet<OutputName>,
    result: &BuildResult,
) -> Result<(), Trouble> {
    let floats = dynamic::is_floating(&node.derivation);
    let mut infos = Vec::new();
    let mut found = Vec::new();
    for name in missing {
        let path = match floats {
            true => result
                .outputs
                .get(name)
                .ok_or_else(|| Trouble::Machine(format!("it does not tell where output '{name}' is")))?,
            false => &node.outputs[name],
        };
        found.push((name, path));
        let mut info = daemon.require(path).map_err(of_machine)?;
        info.deriver = Some(node.path.clone());
        // What is announced beforehand is checked here too.
        info.content_address = match node.derivation.outputs.get(name) {
            Some(Output::Fixed(address)) => Some(*address),
            _ => info.content_address,
        };
        infos.push(info);
    }
    store::copy_objects(daemon, infos, &*builder.store, &*builder.place.progress).map_err(|error| match error {
        StoreError::DaemonLost { .. }
        | StoreError::DaemonSaid { .. }
        | StoreError::BadArchive { .. }
        | StoreError::HashMismatch { .. }
        | StoreError::SizeMismatch { .. }
        | StoreError::TooLarge { .. }
        | StoreError::WrongContentAddress { .. } => of_machine(error),
        error => Trouble::Build(error.into()),
    })?;
    if floats {
        for (name, path) in found {
            builder.realisations.note(&node.path, name, path)?;
        }
    }
    Ok(())
}

/// Takes the lines that the builder writes there into the log here.
struct LogOf<'a>(Mutex<BuildLog<'a>>);

impl LogOf<'_> {
    fn finish(self) -> Result<(Vec<String>, Option<std::path::PathBuf>), BuildError> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }
}

impl Progress for LogOf<'_> {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, line: &str) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(format!("{line}\n").as_bytes());
    }
    fn warn(&self, _: &str) {}
}
