//! What has to be built, and in which order.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use nix_formats::derivation::{Derivation, OutputName};
use nix_formats::store_path::StorePath;
use store::Store;

use crate::builder::{Builder, Realised, Wanted};
use crate::error::BuildError;
use crate::substitute::{Candidate, Substitutes};

/// The derivations that have to be built, each once, with edges to those that need them.
#[derive(Default)]
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    /// Missing outputs that a binary cache has, so that their derivations are not among the nodes.
    pub offered: BTreeSet<StorePath>,
    /// What will be there when they are built, in the order in which it is wanted.
    pub realised: Vec<Realised>,
}

/// A derivation that has to be built.
pub(crate) struct Node {
    pub path: StorePath,
    pub derivation: Derivation,
    /// Every output, wanted or not: a builder makes all.
    pub outputs: BTreeMap<OutputName, StorePath>,
    /// How many others must be built first.
    pub waits_for: usize,
    /// Which others wait for it.
    pub needed_by: Vec<usize>,
}

impl Graph {
    /// Reads the derivations behind `wanted` as far as they are neither built nor offered. Where builds are checked, those
    /// of `wanted` itself are part of the graph even if they are built.
    pub fn new(builder: &Builder, wanted: &[Wanted], substitutes: &Substitutes) -> Result<Graph, BuildError> {
        let again = builder.place.options.check;
        let mut graph = Graph::default();
        let mut known: HashMap<StorePath, Known> = HashMap::new();
        let mut level: Vec<(Wanted, bool)> = wanted.iter().map(|wanted| (wanted.clone(), again)).collect();
        while !level.is_empty() {
            let open = Open::of(builder, std::mem::take(&mut level), &mut known, substitutes)?;
            // Everything of one level is asked for at once: each answer takes a round trip.
            substitutes.ask(builder, open.iter().filter_map(|open| open.candidate.as_ref()));
            for Open { derivation, candidate } in open {
                if let Some(candidate) = candidate.filter(|candidate| substitutes.offer(builder, candidate)) {
                    graph.offered.extend(candidate.outputs);
                    continue;
                }
                let entry = known.get_mut(&derivation).expect("what is open is known");
                if entry.node.is_some() {
                    continue;
                }
                entry.node = Some(graph.nodes.len());
                let inputs = entry.derivation.input_derivations.iter();
                level.extend(inputs.map(|(path, outputs)| (Wanted::some(path.clone(), outputs.clone()), false)));
                graph.nodes.push(Node {
                    path: derivation,
                    derivation: entry.derivation.clone(),
                    outputs: entry.outputs.clone(),
                    waits_for: 0,
                    needed_by: Vec::new(),
                });
            }
        }
        connect(&mut graph.nodes);
        for wanted in wanted {
            let outputs = select(&known[&wanted.derivation].outputs, wanted)?;
            graph.realised.push(Realised { derivation: wanted.derivation.clone(), outputs });
        }
        Ok(graph)
    }

}

/// Finds out which nodes need which others.
pub(crate) fn connect(nodes: &mut [Node]) {
    let numbers: HashMap<StorePath, usize> =
        nodes.iter().enumerate().map(|(number, node)| (node.path.clone(), number)).collect();
    let mut edges = Vec::new();
    for (needing, node) in nodes.iter_mut().enumerate() {
        let inputs = node.derivation.input_derivations.keys();
        let needed: Vec<usize> = inputs.filter_map(|path| numbers.get(path).copied()).collect();
        node.waits_for = needed.len();
        edges.extend(needed.into_iter().map(|needed| (needed, needing)));
    }
    for (needed, needing) in edges {
        nodes[needed].needed_by.push(needing);
    }
}

/// A derivation of which something is missing, so that it has to be built or its outputs taken.
struct Open {
    derivation: StorePath,
    candidate: Option<Candidate>,
}

impl Open {
    /// Those of `wanted` of which something is missing, or that are to be built again.
    fn of(
        builder: &Builder,
        wanted: Vec<(Wanted, bool)>,
        known: &mut HashMap<StorePath, Known>,
        substitutes: &Substitutes,
    ) -> Result<Vec<Open>, BuildError> {
        let store = &*builder.store;
        let mut open = Vec::new();
        for (wanted, again) in wanted {
            let entry = match known.entry(wanted.derivation.clone()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Known::read(store, &wanted.derivation)?),
            };
            let missing = entry.missing(store, &wanted)?;
            if entry.node.is_some() || (missing.is_empty() && !again) {
                continue;
            }
            let candidate = match missing.is_empty() {
                true => None,
                false => substitutes.candidate(builder, &entry.derivation, missing)?,
            };
            open.push(Open { derivation: wanted.derivation, candidate });
        }
        Ok(open)
    }
}

/// A derivation that was met, whether it has to be built or not.
struct Known {
    derivation: Derivation,
    outputs: BTreeMap<OutputName, StorePath>,
    node: Option<usize>,
}

impl Known {
    fn read(store: &dyn Store, path: &StorePath) -> Result<Known, BuildError> {
        let derivation = store.read_derivation(path)?;
        let outputs = output_paths(path, &derivation)?;
        Ok(Known { derivation, outputs, node: None })
    }

    /// The wanted outputs that are not in the store.
    fn missing(&self, store: &dyn Store, wanted: &Wanted) -> Result<Vec<StorePath>, BuildError> {
        let mut missing = Vec::new();
        for output in select(&self.outputs, wanted)?.into_values() {
            if !store.is_valid(&output)? {
                missing.push(output);
            }
        }
        Ok(missing)
    }
}

/// The paths of all outputs of a derivation.
pub(crate) fn output_paths(
    path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
    let refuse = |problem: String| BuildError::Derivation { derivation: path.clone(), problem };
    derivation.kind().map_err(|error| refuse(error.to_string()))?;
    let mut outputs = BTreeMap::new();
    for (name, output) in &derivation.outputs {
        match output.path(&derivation.name, name).map_err(|error| refuse(error.to_string()))? {
            Some(path) => drop(outputs.insert(name.clone(), path)),
            None => {
                return Err(refuse(format!(
                    "the path of its output '{name}' depends on its content; \
                     only input-addressed and fixed-output derivations are built here"
                )));
            }
        }
    }
    Ok(outputs)
}

/// The wanted ones of the outputs.
pub(crate) fn select(
    outputs: &BTreeMap<OutputName, StorePath>,
    wanted: &Wanted,
) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
    let Some(names) = &wanted.outputs else { return Ok(outputs.clone()) };
    let missing = |name: &OutputName| BuildError::NoSuchOutput {
        derivation: wanted.derivation.clone(),
        output: name.clone(),
        existing: outputs.keys().cloned().collect(),
    };
    names
        .iter()
        .map(|name| outputs.get(name).map(|path| (name.clone(), path.clone())).ok_or_else(|| missing(name)))
        .collect::<Result<_, _>>()
}

/// The inputs of a derivation and everything that they refer to. The inputs must be valid.
pub(crate) fn input_closure(
    store: &dyn Store,
    path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeSet<StorePath>, BuildError> {
    let mut inputs: Vec<StorePath> = derivation.input_sources.iter().cloned().collect();
    for (input, outputs) in &derivation.input_derivations {
        let wanted = Wanted::some(input.clone(), outputs.clone());
        let known = Known::read(store, input)?;
        inputs.extend(select(&known.outputs, &wanted)?.into_values());
    }
    let closure = store.closure(&inputs)?;
    for object in &closure {
        store.add_temp_root(object)?;
    }
    // An input that is its own output could only come from a derivation file that nobody evaluated.
    match derivation.output_paths().find_map(|(_, output)| output.filter(|output| closure.contains(output))) {
        Some(output) if inputs.contains(&output) => Err(BuildError::Derivation {
            derivation: path.clone(),
            problem: format!("its output '{}' is one of its inputs", output.to_absolute()),
        }),
        _ => Ok(closure),
    }
}
