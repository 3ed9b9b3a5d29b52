//! Derivations of which only building tells the paths: those with floating outputs, and those that need one's.
//!
//! They are worked on in rounds. In each, the derivations whose inputs are all there are resolved, which gives ordinary
//! derivations and floating ones without input derivations; those are realised like any other, and where their outputs
//! are is noted down. What is left after the last round has paths that are known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nix_formats::derivation::{Derivation, Kind, Output, OutputName, ResolvedInput};
use nix_formats::store_path::StorePath;
use store::Store;

use crate::builder::{Builder, Realised, Wanted};
use crate::error::BuildError;
use crate::realisations::Realisations;
use crate::substitute::Substitutes;

/// Where an output is, if it is there.
pub(crate) fn locate(
    store: &dyn Store,
    realisations: &Realisations,
    path: &StorePath,
    derivation: &Derivation,
    output: &str,
) -> Result<Option<StorePath>, BuildError> {
    let Some(found) = derivation.output_path(output).or_else(|| realisations.find(path, output)) else {
        return Ok(None);
    };
    // The root first, so that nobody collects the object between the question and its use.
    store.add_temp_root(&found)?;
    Ok(store.is_valid(&found)?.then_some(found))
}

/// The derivations of unknown paths that have to be built, by the round in which they can be.
pub(crate) struct Rounds {
    pub rounds: Vec<Vec<StorePath>>,
    derivations: HashMap<StorePath, Derivation>,
}

/// A derivation that was met.
struct Met {
    /// The round after which it can be built.
    round: usize,
}

impl Rounds {
    /// Reads the derivations behind `wanted` as far as their outputs are not there; with `take`, after those have been taken
    /// that binary caches know.
    pub fn new(builder: &Builder, wanted: &[Wanted], take: bool) -> Result<Rounds, BuildError> {
        let mut rounds = Rounds { rounds: Vec::new(), derivations: HashMap::new() };
        let mut met: HashMap<StorePath, Met> = HashMap::new();
        let mut stack: Vec<(StorePath, bool)> = Vec::new();
        for wanted in wanted {
            let names = rounds.names(builder, wanted)?;
            if builder.place.options.check || !rounds.all_there(builder, &wanted.derivation, &names)? {
                stack.push((wanted.derivation.clone(), false));
            }
        }
        while let Some((path, inputs_met)) = stack.pop() {
            if met.contains_key(&path) {
                continue;
            }
            let derivation = rounds.derivation(builder, &path)?.clone();
            let built_again = builder.place.options.check && wanted.iter().any(|wanted| wanted.derivation == path);
            if take && !inputs_met && !built_again && take_outputs(builder, &path, &derivation)? {
                continue;
            }
            let mut missing = Vec::new();
            for (input, outputs) in &derivation.input_derivations {
                if !rounds.all_there(builder, input, outputs)? {
                    missing.push(input.clone());
                }
            }
            if !inputs_met {
                stack.push((path, true));
                stack.extend(missing.into_iter().map(|input| (input, false)));
                continue;
            }
            let round = missing.iter().filter_map(|input| Some(met.get(input)?.round)).max().unwrap_or(0);
            let is_dynamic = rounds.is_dynamic(builder, &derivation)?;
            if is_dynamic {
                rounds.rounds.resize_with(rounds.rounds.len().max(round + 1), Vec::new);
                rounds.rounds[round].push(path.clone());
            }
            met.insert(path, Met { round: round + usize::from(is_dynamic) });
        }
        Ok(rounds)
    }

    /// What they need that can be built as it is.
    pub fn known_inputs(&self) -> Vec<Wanted> {
        let mut inputs: BTreeMap<&StorePath, BTreeSet<OutputName>> = BTreeMap::new();
        for path in self.rounds.iter().flatten() {
            for (input, outputs) in &self.derivations[path].input_derivations {
                if self.derivations.get(input).is_some_and(is_known) {
                    inputs.entry(input).or_default().extend(outputs.iter().cloned());
                }
            }
        }
        inputs.into_iter().map(|(path, outputs)| Wanted::some(path.clone(), outputs)).collect()
    }

    /// Builds them, round by round.
    pub fn run(&mut self, builder: &Builder) -> Result<(), BuildError> {
        for round in std::mem::take(&mut self.rounds) {
            self.run_one(builder, &round)?;
        }
        Ok(())
    }

    fn run_one(&mut self, builder: &Builder, round: &[StorePath]) -> Result<(), BuildError> {
        let mut inputs: BTreeMap<StorePath, BTreeSet<OutputName>> = BTreeMap::new();
        for path in round {
            for (input, outputs) in self.derivations[path].input_derivations.clone() {
                if is_known(self.derivation(builder, &input)?) {
                    inputs.entry(input).or_default().extend(outputs);
                }
            }
        }
        let inputs: Vec<Wanted> = inputs.into_iter().map(|(path, outputs)| Wanted::some(path, outputs)).collect();
        builder.realise_known(&inputs, false)?;
        let mut resolved = Vec::new();
        for path in round {
            let stand_in = self.resolve(builder, path)?;
            builder.realisations.note_resolved(path, &stand_in)?;
            resolved.push(Wanted::all(stand_in));
        }
        let realised = builder.realise_known(&resolved, builder.place.options.check)?;
        for (path, realised) in round.iter().zip(realised) {
            for (output, found) in &realised.outputs {
                if self.derivations[path].output_path(output).is_none() {
                    builder.realisations.note(path, output, found)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the derivation with objects in the place of its inputs, which are there.
    fn resolve(&mut self, builder: &Builder, path: &StorePath) -> Result<StorePath, BuildError> {
        let derivation = self.derivations[path].clone();
        let mut inputs = Vec::new();
        for (input, outputs) in &derivation.input_derivations {
            let known = self.derivation(builder, input)?.clone();
            for output in outputs {
                let found = locate(&*builder.store, &builder.realisations, input, &known, output)?;
                let Some(found) = found else {
                    let (derivation, output) = (input.clone(), output.clone());
                    let existing = known.outputs.keys().cloned().collect();
                    return Err(BuildError::NoSuchOutput { derivation, output, existing });
                };
                let expected = known.output_path(output);
                inputs.push(ResolvedInput { derivation: input.clone(), output: output.clone(), expected, path: found });
            }
        }
        let resolved = derivation.resolve(&inputs);
        let refuse = |problem: String| BuildError::Derivation { derivation: path.clone(), problem };
        let resolved = resolved.map_err(|error| refuse(error.to_string()))?;
        Ok(builder.store.add_derivation(&resolved)?)
    }

    /// Whether the derivation cannot be built as it is.
    fn is_dynamic(&mut self, builder: &Builder, derivation: &Derivation) -> Result<bool, BuildError> {
        let unknown = |derivation: &Derivation| {
            derivation.outputs.values().any(|output| matches!(output, Output::Floating { .. } | Output::Deferred))
        };
        if unknown(derivation) {
            return Ok(true);
        }
        for input in derivation.input_derivations.keys() {
            if unknown(self.derivation(builder, input)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn names(&mut self, builder: &Builder, wanted: &Wanted) -> Result<BTreeSet<OutputName>, BuildError> {
        let derivation = self.derivation(builder, &wanted.derivation)?;
        Ok(wanted.outputs.clone().unwrap_or_else(|| derivation.outputs.keys().cloned().collect()))
    }

    fn derivation(&mut self, builder: &Builder, path: &StorePath) -> Result<&Derivation, BuildError> {
        if !self.derivations.contains_key(path) {
            let derivation = builder.store.read_derivation(path)?;
            self.derivations.insert(path.clone(), derivation);
        }
        Ok(&self.derivations[path])
    }

    fn all_there(
        &mut self,
        builder: &Builder,
        path: &StorePath,
        outputs: &BTreeSet<OutputName>,
    ) -> Result<bool, BuildError> {
        let derivation = self.derivation(builder, path)?;
        for output in outputs {
            if locate(&*builder.store, &builder.realisations, path, derivation, output)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Takes the outputs of a derivation of which only building would tell the paths, if binary caches know and have them.
fn take_outputs(builder: &Builder, path: &StorePath, derivation: &Derivation) -> Result<bool, BuildError> {
    if is_known(derivation) {
        return Ok(false);
    }
    let mut substitutes = Substitutes::default();
    let Some(outputs) = substitutes.realised(builder, path, derivation)? else { return Ok(false) };
    let missing = outputs.into_values().collect();
    substitutes.take(builder, &missing)?;
    Ok(!substitutes.has_refused(&missing))
}

/// What is wanted of derivations whose paths only building told.
pub(crate) fn realised(builder: &Builder, wanted: &Wanted) -> Result<Option<Realised>, BuildError> {
    let derivation = builder.store.read_derivation(&wanted.derivation)?;
    if is_known(&derivation) {
        return Ok(None);
    }
    let names = wanted.outputs.clone().unwrap_or_else(|| derivation.outputs.keys().cloned().collect());
    let mut outputs = BTreeMap::new();
    for name in names {
        let found = locate(&*builder.store, &builder.realisations, &wanted.derivation, &derivation, &name)?;
        let found = found.ok_or_else(|| BuildError::NoSuchOutput {
            derivation: wanted.derivation.clone(),
            output: name.clone(),
            existing: derivation.outputs.keys().cloned().collect(),
        })?;
        outputs.insert(name, found);
    }
    Ok(Some(Realised { derivation: wanted.derivation.clone(), outputs }))
}

/// Whether the paths of all outputs are known.
fn is_known(derivation: &Derivation) -> bool {
    derivation.output_paths().all(|(_, path)| path.is_some())
}

/// Whether every output floats.
pub(crate) fn is_floating(derivation: &Derivation) -> bool {
    matches!(derivation.kind(), Ok(Kind::Floating))
}
