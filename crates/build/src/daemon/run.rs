//! Carrying a plan out: first what the daemon can do by itself, then what is worked on here.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix_formats::derivation::{Derivation, OutputName, ResolvedInput};
use nix_formats::store_path::StorePath;
use store::Store;
use store::daemon::Watching;

use super::plan::{Plan, is_own};
use super::{DaemonBuilder, own};
use crate::builder::{Realised, Wanted};
use crate::error::BuildError;
use crate::graph::Node;
use crate::schedule::{Attempt, Work};

/// A plan that is being carried out.
pub(super) struct Run<'a> {
    builder: &'a DaemonBuilder,
    plan: &'a Plan,
    /// Where outputs are, as far as that is known.
    there: Mutex<HashMap<(StorePath, OutputName), StorePath>>,
}

impl<'a> Run<'a> {
    pub fn new(builder: &'a DaemonBuilder, plan: &'a Plan) -> Self {
        Self { builder, plan, there: Mutex::new(plan.there.clone()) }
    }

    pub fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, BuildError> {
        let options = &self.builder.place.options;
        self.build_theirs(&self.plan.derived(), None)?;
        let work = Work {
            nodes: &self.plan.nodes,
            threads: options.jobs.max(1),
            keep_going: options.keep_going,
            seat: &|_| Ok(Some(())),
            build: &|number, (), cancelled| self.build_one(&self.plan.nodes[number], cancelled).map(|()| Attempt::Done),
        };
        work.run()?;
        wanted.iter().map(|wanted| self.realised(wanted)).collect()
    }

    fn realised(&self, wanted: &Wanted) -> Result<Realised, BuildError> {
        let derivation = self.builder.daemon.read_derivation(&wanted.derivation)?;
        let names: Vec<OutputName> = match &wanted.outputs {
            Some(names) => names.iter().cloned().collect(),
            None => derivation.outputs.keys().cloned().collect(),
        };
        let mut outputs = BTreeMap::new();
        for name in names {
            let path = self.locate(&wanted.derivation, &derivation, &name)?;
            self.builder.daemon.add_temp_root(&path)?;
            if derivation.output_path(&name).is_none() {
                self.builder.realisations.note(&wanted.derivation, &name, &path)?;
            }
            outputs.insert(name, path);
        }
        Ok(Realised { derivation: wanted.derivation.clone(), outputs })
    }

    /// Has the daemon build; every failure is an error.
    fn build_theirs(&self, derived: &[String], cancelled: Option<&OwnedFd>) -> Result<(), BuildError> {
        if derived.is_empty() {
            return Ok(());
        }
        let builder = self.builder;
        let watching = Watching { progress: &*builder.place.progress, cancelled: cancelled.map(AsFd::as_fd) };
        let results = builder.daemon.build_each(derived, false, watching)?;
        let failed = |(what, result): (String, nix_formats::worker::BuildResult)| BuildError::Daemon {
            address: builder.daemon.address().to_owned(),
            what: what.split('!').next().unwrap_or_default().to_owned(),
            message: store::daemon::without_colours(&result.message),
        };
        let mut errors: Vec<_> = results.into_iter().filter(|(_, result)| !result.is_done()).map(failed).collect();
        match errors.len() {
            0 => self.check_again(derived, watching),
            1 => Err(errors.remove(0)),
            _ if builder.place.options.keep_going => Err(BuildError::Several(errors)),
            _ => Err(errors.remove(0)),
        }
    }

    /// Builds what is there once more, if that is wanted.
    fn check_again(&self, derived: &[String], watching: Watching<'_>) -> Result<(), BuildError> {
        if !self.builder.place.options.check {
            return Ok(());
        }
        let results = self.builder.daemon.build_each(derived, true, watching)?;
        match results.into_iter().find(|(_, result)| !result.is_done()) {
            None => Ok(()),
            Some((what, result)) => Err(BuildError::Daemon {
                address: self.builder.daemon.address().to_owned(),
                what: what.split('!').next().unwrap_or_default().to_owned(),
                message: store::daemon::without_colours(&result.message),
            }),
        }
    }

    /// Works on a derivation whose inputs are there.
    fn build_one(&self, node: &Node, cancelled: &OwnedFd) -> Result<(), BuildError> {
        let mut inputs = Vec::new();
        for (derivation, outputs) in &node.derivation.input_derivations {
            let known = self.builder.daemon.read_derivation(derivation)?;
            for output in outputs {
                let path = self.locate(derivation, &known, output)?;
                let expected = known.output_path(output);
                inputs.push(ResolvedInput { derivation: derivation.clone(), output: output.clone(), expected, path });
            }
        }
        let refuse = |problem: String| BuildError::Derivation { derivation: node.path.clone(), problem };
        let resolved = node.derivation.resolve(&inputs).map_err(|error| refuse(error.to_string()))?;
        let outputs = match is_own(self.builder, &resolved) {
            true => own::build(self.builder, &node.path, resolved, cancelled)?,
            false => self.build_resolved(&node.path, &resolved, cancelled)?,
        };
        for (output, path) in outputs {
            self.builder.realisations.note(&node.path, &output, &path)?;
            let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
            there.insert((node.path.clone(), output), path);
        }
        Ok(())
    }

    /// Has the daemon build a derivation that was resolved.
    fn build_resolved(
        &self,
        original: &StorePath,
        resolved: &Derivation,
        cancelled: &OwnedFd,
    ) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
        let path = self.builder.daemon.add_derivation(resolved)?;
        self.builder.realisations.note_resolved(original, &path)?;
        self.build_theirs(&[format!("{}!*", path.to_absolute())], Some(cancelled))?;
        let names = resolved.outputs.keys();
        names.map(|name| Ok((name.clone(), self.locate(&path, resolved, name)?))).collect()
    }

    /// Where an output is that is there.
    fn locate(&self, path: &StorePath, derivation: &Derivation, output: &OutputName) -> Result<StorePath, BuildError> {
        let known = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&(path.clone(), output.clone())) {
            return Ok(found.clone());
        }
        drop(known);
        if let Some(expected) = derivation.output_path(output) {
            return Ok(expected);
        }
        // Only the daemon knows.
        let found = self.builder.daemon.derivation_outputs(path)?.remove(output).flatten();
        found.ok_or_else(|| BuildError::NoSuchOutput {
            derivation: path.clone(),
            output: output.clone(),
            existing: derivation.outputs.keys().cloned().collect(),
        })
    }
}
