//! Building one derivation, from its locks to its registration.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix_formats::derivation::{Kind, OutputName};
use nix_formats::placeholder;
use nix_formats::store_path::StorePath;
use store::Store;
use store::local::PathLocks;
use store::progress::{Activity, Outcome, Task};

use crate::attributes::Attributes;
use crate::builder::Builder;
use crate::builtin::{BuiltinContext, BuiltinOutput};
use crate::confinement::Confinement;
use crate::error::{BuildError, Failure};
use crate::graph::{self, Node};
use crate::log::{BuildLog, log_path};
use crate::needs::Needs;
use crate::options::Isolation;
use crate::rules::Rules;
use crate::unconfined::Places;
use crate::workplace::Workplace;
use crate::{dynamic, floating, ordinary, outputs};

/// What is known of a derivation that is being built.
pub(crate) struct Job<'a> {
    pub place: &'a Workplace,
    pub node: &'a Node,
    pub rules: Rules,
    pub attributes: Attributes,
    /// What the builder sees of the store.
    pub inputs: BTreeSet<StorePath>,
    pub fixed: bool,
    /// Whether the builder sees the machine.
    pub open: bool,
    /// How far it is kept apart from the machine.
    pub confinement: Confinement,
    /// Everything of this build is below it; it has the store's file system and is removed in the end.
    pub directory: PathBuf,
}

/// Builds a derivation on this machine, unless another process has done so meanwhile.
pub(crate) fn run(builder: &Builder, node: &Node, cancelled: &OwnedFd) -> Result<(), BuildError> {
    let store = &*builder.store;
    let outputs: Vec<StorePath> = node.outputs.values().cloned().collect();
    for output in &outputs {
        store.add_temp_root(output)?;
    }
    let _locks = lock(builder, node, &outputs)?;
    let missing = missing(builder, node)?;
    let again = missing.is_empty() && builder.place.options.check;
    if missing.is_empty() && !again {
        return Ok(());
    }
    let staging = store.staging()?;
    let job = Job::prepare(&builder.place, node, staging.path().to_owned())?;
    let places = Places::clear(&job, &missing)?;
    let task = Task::start(&*builder.place.progress, Activity::Build, &node.derivation.name, None);
    let made = job.build(&task, cancelled)?;
    if dynamic::is_floating(&node.derivation) {
        floating::install(builder, &job, &made, again)?;
        task.finish(Outcome::Done);
        return Ok(());
    }
    let infos = outputs::examine(&job, &made)?;
    crate::checks::check(&job, &infos)?;
    match again {
        true => outputs::compare(&job, &made, &infos)?,
        false => outputs::install(&job, &made, infos, &missing, store)?,
    }
    places.keep();
    task.finish(Outcome::Done);
    Ok(())
}

/// The outputs that are not in the store.
pub(crate) fn missing(builder: &Builder, node: &Node) -> Result<BTreeSet<OutputName>, BuildError> {
    let store = &*builder.store;
    let floats = dynamic::is_floating(&node.derivation);
    let mut missing = BTreeSet::new();
    for (name, path) in &node.outputs {
        let there = match floats {
            true => dynamic::locate(store, &builder.realisations, &node.path, &node.derivation, name)?.is_some(),
            false => store.is_valid(path)?,
        };
        if !there {
            missing.insert(name.clone());
        }
    }
    Ok(missing)
}

/// Waits while another process builds the same.
pub(crate) fn lock(builder: &Builder, node: &Node, outputs: &[StorePath]) -> Result<PathLocks, BuildError> {
    if let Some(locks) = builder.store.try_lock(outputs)? {
        return Ok(locks);
    }
    builder.place.progress.warn(&format!("waiting for another process that builds '{}'", node.path.to_absolute()));
    Ok(builder.store.lock(outputs)?)
}

impl<'a> Job<'a> {
    pub fn prepare(place: &'a Workplace, node: &'a Node, directory: PathBuf) -> Result<Job<'a>, BuildError> {
        let refused = |source| BuildError::Attribute { derivation: node.path.clone(), source };
        let mut attributes = Attributes::of(&node.derivation).map_err(refused)?;
        attributes.rewrite(&|value| replace_placeholders(value, &node.outputs));
        let rules = Rules::of(&attributes).map_err(refused)?;
        let inputs = graph::input_closure(&*place.store, &node.path, &node.derivation)?;
        let fixed = matches!(node.derivation.kind(), Ok(Kind::Fixed));
        let open = match place.options.isolation {
            Isolation::Full => false,
            Isolation::Relaxed => rules.no_sandbox,
            Isolation::Off => true,
        };
        let confinement = Confinement::Full;
        let mut job = Job { place, node, rules, attributes, inputs, fixed, open, confinement, directory };
        job.check_machine()?;
        if job.builtin().is_none() {
            job.confinement = Confinement::of(place, &node.path)?;
        }
        let store = job.store_directory();
        std::fs::create_dir(&store).map_err(BuildError::file("create the directory", &store))?;
        Ok(job)
    }

    /// Where the outputs are made, under their base names.
    pub fn store_directory(&self) -> PathBuf {
        self.directory.join("store")
    }

    /// Where an output is made.
    pub fn staged(&self, output: &StorePath) -> PathBuf {
        match self.is_unconfined() {
            true => self.place.store.real_path(output),
            false => self.store_directory().join(output.base_name()),
        }
    }

    /// Whether the builder runs in no namespace.
    pub fn is_unconfined(&self) -> bool {
        self.confinement == Confinement::Nothing
    }

    /// An output that cannot be accepted.
    pub fn reject(&self, output: &str, problem: impl Into<String>) -> BuildError {
        BuildError::Output { derivation: self.node.path.clone(), output: output.to_owned(), problem: problem.into() }
    }

    /// The name of a builtin builder, if the derivation has one.
    fn builtin(&self) -> Option<&str> {
        std::str::from_utf8(&self.node.derivation.builder).ok().filter(|builder| builder.starts_with("builtin:"))
    }

    fn check_machine(&self) -> Result<(), BuildError> {
        Needs::of(&self.node.derivation).check_here(&self.node.path, &self.place.options)?;
        if self.rules.no_sandbox && !self.open {
            return Err(BuildError::Derivation {
                derivation: self.node.path.clone(),
                problem: "it has '__noChroot' set, but everything is built in the sandbox; --sandbox=relaxed lets it see this \
                          machine"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Runs the builder; the outputs are then in the staging directory, if it has made them.
    pub fn build(&self, task: &Task<'_>, cancelled: &OwnedFd) -> Result<BTreeMap<OutputName, PathBuf>, BuildError> {
        let path = log_path(&self.place.log_dir, &self.node.path);
        match self.builtin() {
            Some(name) => self.run_builtin(name, task, cancelled, BuildLog::new(path, task))?,
            None => {
                let mut log = BuildLog::new(path, task);
                let ending = ordinary::run(self, cancelled, &mut log)?;
                let (last_lines, log) = log.finish()?;
                if let Some(ending) = ending {
                    return Err(self.failure(ending, last_lines, log));
                }
            }
        }
        Ok(self.node.outputs.iter().map(|(name, path)| (name.clone(), self.staged(path))).collect())
    }

    fn run_builtin(
        &self,
        name: &str,
        task: &Task<'_>,
        cancelled: &OwnedFd,
        log: BuildLog<'_>,
    ) -> Result<(), BuildError> {
        let Some(builtin) = self.place.builtins.get(name) else {
            let known: Vec<&str> = self.place.builtins.keys().map(String::as_str).collect();
            return Err(BuildError::Derivation {
                derivation: self.node.path.clone(),
                problem: format!("there is no builder '{name}'; the builtin ones are {}", known.join(", ")),
            });
        };
        let scratch = self.directory.join("scratch");
        std::fs::create_dir(&scratch).map_err(BuildError::file("create the directory", &scratch))?;
        let output = |path: &StorePath| BuiltinOutput { path: path.clone(), real_path: self.staged(path) };
        let outputs = self.node.outputs.iter().map(|(name, path)| (name.clone(), output(path))).collect();
        let log = std::cell::RefCell::new(log);
        let result = builtin.build(&BuiltinContext {
            derivation_path: &self.node.path,
            derivation: &self.node.derivation,
            attributes: &self.attributes,
            store: &*self.place.store,
            input_closure: &self.inputs,
            scratch: &scratch,
            progress: &*self.place.progress,
            task: task.id(),
            outputs: &outputs,
            cancelled: Some(cancelled.as_fd()),
            log_line: &|line| log.borrow_mut().write(format!("{line}\n").as_bytes()),
        });
        log.into_inner().finish()?;
        result.map_err(|source| BuildError::Builtin {
            derivation: self.node.path.clone(),
            builder: name.to_owned(),
            source,
        })
    }

    fn failure(&self, ending: String, last_lines: Vec<String>, log: Option<PathBuf>) -> BuildError {
        let disk_full = nearly_full(&self.directory);
        let kept = if self.place.options.keep_failed { self.keep() } else { None };
        BuildError::Failed(Box::new(Failure {
            derivation: self.node.path.clone(),
            ending,
            last_lines,
            log,
            kept,
            disk_full,
        }))
    }

    /// Moves the build directory to where it stays. A failure to is only a warning, since there is a worse one already.
    fn keep(&self) -> Option<PathBuf> {
        let parent = &self.place.kept;
        let kept = || -> std::io::Result<PathBuf> {
            std::fs::create_dir_all(parent)?;
            let prefix = format!("{}-", self.node.derivation.name);
            let kept = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent)?.keep();
            std::fs::rename(self.directory.join("build"), kept.join("build"))?;
            Ok(kept.join("build"))
        };
        match kept() {
            Ok(kept) => Some(kept),
            Err(error) => {
                self.place.progress.warn(&format!("cannot keep the build directory in {}: {error}", parent.display()));
                None
            }
        }
    }
}

/// Replaces what stands for the derivation's own outputs by their paths.
pub(crate) fn replace_placeholders(value: &[u8], outputs: &BTreeMap<OutputName, StorePath>) -> Vec<u8> {
    use bstr::ByteSlice;
    // A placeholder is a slash and 52 characters; most values have none.
    if value.len() < 53 {
        return value.to_vec();
    }
    let mut value = value.to_vec();
    for (name, path) in outputs {
        let placeholder = placeholder::own_output(name);
        if value.contains_str(&placeholder) {
            value = value.replace(&placeholder, path.to_absolute());
        }
    }
    value
}

/// Whether so little space is left that a builder may well have failed for want of it. Nix draws the line here too.
fn nearly_full(path: &std::path::Path) -> bool {
    const REQUIRED: u64 = 8 << 20;
    rustix::fs::statvfs(path).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < REQUIRED)
}
