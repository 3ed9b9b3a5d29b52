//! Who builds what: the daemon, or this program.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nix_formats::derivation::{Derivation, OutputName};
use nix_formats::store_path::StorePath;
use store::Store;

use super::DaemonBuilder;
use crate::builder::Wanted;
use crate::error::BuildError;
use crate::graph::{Node, connect};

/// The builders of its own that every daemon has too.
const THEIRS: [&str; 3] = ["builtin:fetchurl", "builtin:buildenv", "builtin:unpack-channel"];

/// What has to be done for some outputs.
pub(super) struct Plan {
    /// The derivations that are worked on here: those whose builder is part of this program, and those that need what such
    /// a builder makes. Each comes after those that it needs.
    pub nodes: Vec<Node>,
    /// What the daemon can be asked for as it is, and which outputs of it.
    pub theirs: BTreeMap<StorePath, BTreeSet<OutputName>>,
    /// Where outputs are that are there already.
    pub there: HashMap<(StorePath, OutputName), StorePath>,
}

/// Who builds a derivation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    They,
    We,
}

struct Planner<'a> {
    builder: &'a DaemonBuilder,
    plan: Plan,
    derivations: HashMap<StorePath, Derivation>,
    decided: HashMap<StorePath, Who>,
    /// What is built once more though it is there.
    again: BTreeSet<StorePath>,
}

impl Plan {
    /// Reads the derivations behind `wanted` as far as their outputs are not there.
    pub fn new(builder: &DaemonBuilder, wanted: &[Wanted]) -> Result<Plan, BuildError> {
        let again = match builder.place.options.check {
            true => wanted.iter().map(|wanted| wanted.derivation.clone()).collect(),
            false => BTreeSet::new(),
        };
        let plan = Plan { nodes: Vec::new(), theirs: BTreeMap::new(), there: HashMap::new() };
        let mut planner = Planner { builder, plan, derivations: HashMap::new(), decided: HashMap::new(), again };
        for wanted in wanted {
            planner.want(wanted)?;
        }
        let Planner { mut plan, .. } = planner;
        connect(&mut plan.nodes);
        Ok(plan)
    }

    /// What the daemon is asked for, as it takes it.
    pub fn derived(&self) -> Vec<String> {
        let names = |outputs: &BTreeSet<OutputName>| outputs.iter().cloned().collect::<Vec<_>>().join(",");
        self.theirs.iter().map(|(path, outputs)| format!("{}!{}", path.to_absolute(), names(outputs))).collect()
    }
}

impl Planner<'_> {
    fn want(&mut self, wanted: &Wanted) -> Result<(), BuildError> {
        let existing: Vec<OutputName> = self.derivation(&wanted.derivation)?.outputs.keys().cloned().collect();
        let names = wanted.outputs.clone().unwrap_or_else(|| existing.iter().cloned().collect());
        if let Some(output) = names.iter().find(|name| !existing.contains(name)) {
            let (derivation, output) = (wanted.derivation.clone(), output.clone());
            return Err(BuildError::NoSuchOutput { derivation, output, existing });
        }
        self.decide(&wanted.derivation, &names)
    }

    /// Decides on a derivation and all behind it that are not there. A stack of its own, for graphs are deep.
    fn decide(&mut self, path: &StorePath, outputs: &BTreeSet<OutputName>) -> Result<(), BuildError> {
        let mut stack = Vec::new();
        if !self.all_there(path, outputs)? {
            stack.push((path.clone(), false));
        }
        while let Some((path, inputs_decided)) = stack.pop() {
            if self.decided.contains_key(&path) {
                continue;
            }
            let derivation = self.derivation(&path)?.clone();
            let mut missing = Vec::new();
            for (input, outputs) in &derivation.input_derivations {
                if !self.all_there(input, outputs)? {
                    missing.push((input.clone(), outputs.clone()));
                }
            }
            if !inputs_decided {
                stack.push((path, true));
                stack.extend(missing.into_iter().map(|(input, _)| (input, false)));
                continue;
            }
            self.settle(path, derivation, missing);
        }
        if self.decided.get(path) == Some(&Who::They) {
            self.plan.theirs.entry(path.clone()).or_default().extend(outputs.iter().cloned());
        }
        Ok(())
    }

    fn settle(&mut self, path: StorePath, derivation: Derivation, missing: Vec<(StorePath, BTreeSet<OutputName>)>) {
        let is_ours = |input: &StorePath| self.decided.get(input) == Some(&Who::We);
        // An output that is not where its derivation says.
        let is_elsewhere = derivation.input_derivations.iter().any(|(input, outputs)| {
            let expected =
                |output: &OutputName| self.derivations.get(input).and_then(|known| known.output_path(output));
            outputs.iter().any(|output| {
                let there = self.plan.there.get(&(input.clone(), output.clone()));
                there.is_some_and(|there| expected(output).is_some_and(|expected| expected != *there))
            })
        });
        if !self.is_own(&derivation) && !is_elsewhere && !missing.iter().any(|(input, _)| is_ours(input)) {
            self.decided.insert(path, Who::They);
            return;
        }
        for (input, outputs) in missing {
            if !is_ours(&input) {
                self.plan.theirs.entry(input).or_default().extend(outputs);
            }
        }
        self.decided.insert(path.clone(), Who::We);
        self.plan.nodes.push(Node { path, derivation, outputs: BTreeMap::new(), waits_for: 0, needed_by: Vec::new() });
    }

    fn is_own(&self, derivation: &Derivation) -> bool {
        is_own(self.builder, derivation)
    }

    fn derivation(&mut self, path: &StorePath) -> Result<&Derivation, BuildError> {
        if !self.derivations.contains_key(path) {
            let derivation = self.builder.daemon.read_derivation(path)?;
            self.derivations.insert(path.clone(), derivation);
        }
        Ok(&self.derivations[path])
    }

    /// Whether these outputs are in the store; where they are is then known.
    fn all_there(&mut self, path: &StorePath, outputs: &BTreeSet<OutputName>) -> Result<bool, BuildError> {
        for output in outputs {
            let key = (path.clone(), output.clone());
            if self.plan.there.contains_key(&key) {
                continue;
            }
            match self.find(path, output)? {
                Some(found) => drop(self.plan.there.insert(key, found)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn find(&mut self, path: &StorePath, output: &OutputName) -> Result<Option<StorePath>, BuildError> {
        if self.again.contains(path) {
            return Ok(None);
        }
        let noted = self.builder.realisations.find(path, output);
        let expected = self.derivation(path)?.output_path(output);
        for candidate in noted.into_iter().chain(expected) {
            // The root first, so that nobody collects the object between the question and its use.
            self.builder.daemon.add_temp_root(&candidate)?;
            if self.builder.daemon.is_valid(&candidate)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}

/// Whether a derivation's builder is part of this program, and of no daemon.
pub(super) fn is_own(builder: &DaemonBuilder, derivation: &Derivation) -> bool {
    std::str::from_utf8(&derivation.builder).is_ok_and(|name| {
        name.starts_with("builtin:") && !THEIRS.contains(&name) && builder.place.builtins.contains_key(name)
    })
}
