//! What has to be built, and in which order.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use nix_formats::derivation::{Derivation, Output, OutputName};
use nix_formats::placeholder;
use nix_formats::store_path::StorePath;
use store::Store;

use crate::builder::{Builder, Realised, Wanted};
use crate::dynamic;
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
    /// The wanted derivations of whose outputs only building tells the paths: others stand for them.
    pub floating: BTreeSet<StorePath>,
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
    /// Reads the derivations behind `wanted` as far as they are neither built nor offered. With `again`, those of `wanted`
    /// itself are part of the graph even if they are built.
    ///
    /// `None` if there is one among them that cannot be built as it is, because what it needs has to be built to know its
    /// path.
    pub fn new(
        builder: &Builder,
        wanted: &[Wanted],
        again: bool,
        substitutes: &Substitutes,
    ) -> Result<Option<Graph>, BuildError> {
        let mut graph = Graph::default();
        let mut known: HashMap<StorePath, Known> = HashMap::new();
        let mut level: Vec<(Wanted, bool)> = wanted.iter().map(|wanted| (wanted.clone(), again)).collect();
        while !level.is_empty() {
            let are_inputs = !known.is_empty();
            let Some(open) = Open::of(builder, std::mem::take(&mut level), &mut known, substitutes)? else {
                return Ok(None);
            };
            if are_inputs && open.iter().any(|open| known[&open.derivation].floats) {
                return Ok(None);
            }
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
            let known = &known[&wanted.derivation];
            let outputs = select(&known.outputs, wanted)?;
            graph.realised.push(Realised { derivation: wanted.derivation.clone(), outputs });
            graph.floating.extend(known.floats.then(|| wanted.derivation.clone()));
        }
        Ok(Some(graph))
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
    /// Those of `wanted` of which something is missing, or that are to be built again. `None` if one of them cannot be
    /// built as it is.
    fn of(
        builder: &Builder,
        wanted: Vec<(Wanted, bool)>,
        known: &mut HashMap<StorePath, Known>,
        substitutes: &Substitutes,
    ) -> Result<Option<Vec<Open>>, BuildError> {
        let store = &*builder.store;
        let mut open = Vec::new();
        for (wanted, again) in wanted {
            let entry = match known.entry(wanted.derivation.clone()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => match Known::read(builder, substitutes, &wanted.derivation)? {
                    Some(known) => entry.insert(known),
                    None => return Ok(None),
                },
            };
            let missing = entry.missing(store, &wanted)?;
            if entry.node.is_some() || (missing.is_empty() && !again) {
                continue;
            }
            let candidate = match missing.is_empty() || entry.floats {
                true => None,
                false => substitutes.candidate(builder, &entry.derivation, missing)?,
            };
            open.push(Open { derivation: wanted.derivation, candidate });
        }
        Ok(Some(open))
    }
}

/// A derivation that was met, whether it has to be built or not.
struct Known {
    derivation: Derivation,
    outputs: BTreeMap<OutputName, StorePath>,
    /// Whether the outputs are paths that stand for those that only building tells.
    floats: bool,
    node: Option<usize>,
}

impl Known {
    /// Reads a derivation. `None` if it cannot be built as it is, nor was built.
    fn read(builder: &Builder, substitutes: &Substitutes, path: &StorePath) -> Result<Option<Known>, BuildError> {
        let (store, realisations) = (&*builder.store, &builder.realisations);
        let derivation = store.read_derivation(path)?;
        if derivation.output_paths().all(|(_, path)| path.is_some()) {
            let outputs = output_paths(path, &derivation)?;
            return Ok(Some(Known { derivation, outputs, floats: false, node: None }));
        }
        let mut outputs = BTreeMap::new();
        for name in derivation.outputs.keys() {
            if let Some(found) = dynamic::locate(store, realisations, path, &derivation, name)? {
                outputs.insert(name.clone(), found);
            }
        }
        if outputs.len() < derivation.outputs.len()
            && let Some(realised) = substitutes.realised(builder, path, &derivation)?
        {
            outputs = realised;
        }
        if outputs.len() == derivation.outputs.len() {
            return Ok(Some(Known { derivation, outputs, floats: false, node: None }));
        }
        if !dynamic::is_floating(&derivation) || !derivation.input_derivations.is_empty() {
            return Ok(None);
        }
        let outputs = output_paths(path, &derivation)?;
        Ok(Some(Known { derivation, outputs, floats: true, node: None }))
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

/// The paths of all outputs of a derivation; of floating ones, those that stand for them.
pub(crate) fn output_paths(
    path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeMap<OutputName, StorePath>, BuildError> {
    let refuse = |problem: String| BuildError::Derivation { derivation: path.clone(), problem };
    derivation.kind().map_err(|error| refuse(error.to_string()))?;
    let mut outputs = BTreeMap::new();
    for (name, output) in &derivation.outputs {
        let path = match (output.path(&derivation.name, name).map_err(|error| refuse(error.to_string()))?, output) {
            (Some(path), _) => path,
            (None, Output::Floating { .. }) => placeholder::stand_in_path(path, name)
                .ok_or_else(|| refuse(format!("the name of its output '{name}' is not fit for a path")))?,
            (None, Output::Impure { .. }) => {
                return Err(refuse("it is impure, and impure derivations are not built here".to_owned()));
            }
            (None, _) => return Err(refuse(format!("nobody has told the path of its output '{name}'"))),
        };
        outputs.insert(name.clone(), path);
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
        let paths = output_paths(input, &store.read_derivation(input)?)?;
        inputs.extend(select(&paths, &wanted)?.into_values());
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
