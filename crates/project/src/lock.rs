//! Completing a flake's lock: inputs that `flake.nix` names and the lock does not pin are fetched and pinned.
//!
//! What is pinned to what the flake still asks for stays as it is, with everything below it.

use std::collections::BTreeMap;
use std::path::Path;

use eval::{Attrs as Set, Evaluator, HostError, Interp, Kind, Settings, Symbol};
use fetch::Fetcher;
use nix_formats::flake_lock::{Edge, LockFile, Locked, Node, NodeKey};
use nix_formats::flake_ref::{Attr, Attrs, FlakeRef};
use store::{LocalStore, Store};

use crate::inputs::failed;

/// How deeply flakes may take flakes as inputs.
const MAX_DEPTH: usize = 64;

/// What fetching inputs needs.
pub(crate) struct Locking<'a> {
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) store: &'a LocalStore,
}

/// An input as `flake.nix` declares it.
#[derive(Clone, Debug, Default)]
struct Input {
    reference: Option<FlakeRef>,
    follows: Option<Vec<String>>,
    is_tree: bool,
    /// What the flake says of the input's own inputs.
    inputs: BTreeMap<String, Input>,
}

type Inputs = BTreeMap<String, Input>;

/// A lock that is being made, and the one to take pins from.
struct Progress<'a> {
    lock: LockFile,
    /// What flakes further up said of inputs further down, by the way from the root.
    overrides: BTreeMap<Vec<String>, Input>,
    locking: &'a Locking<'a>,
}

impl Locking<'_> {
    /// The lock for the flake in `root`, taking from `known` what still fits.
    pub(crate) fn complete(&self, root: &Path, known: &LockFile) -> Result<LockFile, HostError> {
        let inputs = declared(root)?;
        let mut progress = Progress { lock: LockFile::default(), overrides: BTreeMap::new(), locking: self };
        let edges = progress.edges(&inputs, root, &[], known, Some(&known.root))?;
        let key = progress.lock.root.clone();
        progress.lock.nodes.insert(key, Node { lock: None, inputs: edges });
        Ok(progress.lock)
    }
}

impl Progress<'_> {
    /// Locks the inputs of the flake that is reached by `way`; `old` is its node in `known`.
    fn edges(
        &mut self,
        inputs: &Inputs,
        directory: &Path,
        way: &[String],
        known: &LockFile,
        old: Option<&NodeKey>,
    ) -> Result<BTreeMap<String, Edge>, HostError> {
        if way.len() > MAX_DEPTH {
            return Err(HostError::Failed(format!("the inputs {} do not end", way.join("/"))));
        }
        for (name, input) in inputs {
            self.remember_overrides(input, &extended(way, name));
        }
        let mut edges = BTreeMap::new();
        for (name, input) in inputs {
            let here = extended(way, name);
            let chosen = self.overrides.get(&here).filter(|over| over.reference.is_some() || over.follows.is_some());
            let input = chosen.cloned().unwrap_or_else(|| input.clone());
            let edge = match input.follows {
                Some(target) => Edge::Follows(target),
                None => Edge::Node(self.node(name, &input, directory, &here, known, old)?),
            };
            edges.insert(name.clone(), edge);
        }
        Ok(edges)
    }

    /// Notes what an input's declaration says of the inputs below it; what was said further up counts more.
    fn remember_overrides(&mut self, input: &Input, way: &[String]) {
        for (name, inner) in &input.inputs {
            let here = extended(way, name);
            self.remember_overrides(inner, &here);
            self.overrides.entry(here).or_insert_with(|| inner.clone());
        }
    }

    fn node(
        &mut self,
        name: &str,
        input: &Input,
        directory: &Path,
        way: &[String],
        known: &LockFile,
        old: Option<&NodeKey>,
    ) -> Result<NodeKey, HostError> {
        let reference = match &input.reference {
            Some(reference) => reference.clone(),
            None => FlakeRef::parse(&format!("flake:{name}")).map_err(failed)?,
        };
        let old_key = old.and_then(|key| known.nodes.get(key)).and_then(|node| match node.inputs.get(name) {
            Some(Edge::Node(key)) => Some(key),
            _ => None,
        });
        let old_lock = old_key.and_then(|key| known.nodes.get(key)).and_then(|node| node.lock.as_ref());
        let pinned = old_lock.filter(|lock| lock.original == reference && lock.is_flake != input.is_tree);
        let (locked, place) = if reference.is_relative() {
            let relative = reference.text("path").unwrap_or_default();
            (reference.clone(), Some(directory.join(relative)))
        } else if let Some(lock) = pinned {
            (lock.locked.clone(), None)
        } else {
            let tree = self.locking.fetcher.tree(&reference, "source").map_err(failed)?;
            let place = self.locking.store.real_path(&tree.path).join(tree.locked.dir());
            (tree.locked, Some(place))
        };
        let parent = reference.is_relative().then(|| way[..way.len() - 1].to_vec());
        let key = self.fresh_key(name);
        let lock = Locked { locked, original: reference, is_flake: !input.is_tree, parent };
        // The name is taken before the inputs below look for theirs.
        self.lock.nodes.insert(key.clone(), Node { lock: Some(lock), inputs: BTreeMap::new() });
        let edges = match (&place, pinned.and(old_key)) {
            _ if input.is_tree => BTreeMap::new(),
            (None, Some(old_key)) => self.copied(known, old_key)?,
            (place, _) => self.below(place.as_deref(), way)?,
        };
        if let Some(node) = self.lock.nodes.get_mut(&key) {
            node.inputs = edges;
        }
        Ok(key)
    }

    /// The inputs of a flake that was just fetched, pinned as its own lock says.
    fn below(&mut self, place: Option<&Path>, way: &[String]) -> Result<BTreeMap<String, Edge>, HostError> {
        let Some(place) = place else { return Ok(BTreeMap::new()) };
        let own = match std::fs::read_to_string(place.join("flake.lock")) {
            Ok(text) => LockFile::parse(&text).map_err(failed)?,
            Err(_) => LockFile::default(),
        };
        let mut inputs = declared(place)?;
        // What the flake's own inputs follow is named from that flake.
        inputs.values_mut().for_each(|input| prefix_follows(input, way));
        self.edges(&inputs, place, way, &own, Some(&own.root))
    }

    /// Takes a node's inputs over from the known lock as they are.
    fn copied(&mut self, known: &LockFile, key: &NodeKey) -> Result<BTreeMap<String, Edge>, HostError> {
        let mut edges = BTreeMap::new();
        for (name, edge) in &known.node(key).map_err(failed)?.inputs {
            let edge = match edge {
                Edge::Follows(target) => Edge::Follows(target.clone()),
                Edge::Node(inner) => {
                    let copy = self.fresh_key(name);
                    let node = known.node(inner).map_err(failed)?;
                    self.lock.nodes.insert(copy.clone(), Node { lock: node.lock.clone(), inputs: BTreeMap::new() });
                    let inputs = self.copied(known, inner)?;
                    if let Some(node) = self.lock.nodes.get_mut(&copy) {
                        node.inputs = inputs;
                    }
                    Edge::Node(copy)
                }
            };
            edges.insert(name.clone(), edge);
        }
        Ok(edges)
    }

    /// A name for a node: that of the input, with a number if it is taken, as Nix names them.
    fn fresh_key(&self, name: &str) -> NodeKey {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        candidates.find(|key| !self.lock.nodes.contains_key(key)).unwrap_or_default()
    }
}

fn extended(way: &[String], name: &str) -> Vec<String> {
    way.iter().cloned().chain([name.to_owned()]).collect()
}

fn prefix_follows(input: &mut Input, way: &[String]) {
    if let Some(target) = &mut input.follows {
        target.splice(0..0, way.iter().cloned());
    }
    input.inputs.values_mut().for_each(|inner| prefix_follows(inner, way));
}

/// The inputs that the `flake.nix` in a directory declares.
fn declared(directory: &Path) -> Result<Inputs, HostError> {
    let file = directory.join("flake.nix");
    let host = Box::new(eval::read_only::ReadOnlyHost { quiet: true });
    // A declaration is plain data: it cannot ask for anything that this evaluation lacks.
    let evaluator = Evaluator::new(host, Settings { pure: true, ..Settings::default() });
    let read = |interp: &Interp| -> eval::Result<Inputs> {
        let flake = interp.force_attrs(interp.eval_file(&file)?)?;
        match flake.get(Symbol::intern("inputs")) {
            Some(inputs) => all(interp, interp.force_attrs(inputs)?),
            None => Ok(Inputs::new()),
        }
    };
    evaluator.run(|interp| read(interp)).map_err(HostError::Callback)
}

fn all(interp: &Interp, inputs: &'static Set) -> eval::Result<Inputs> {
    inputs
        .by_name()
        .map(|attr| Ok((attr.name.text().into_owned(), one(interp, interp.force_attrs(attr.value)?)?)))
        .collect()
}

fn one(interp: &Interp, declaration: &'static Set) -> eval::Result<Input> {
    let mut input = Input::default();
    let mut attrs = Attrs::new();
    for attr in declaration.by_name() {
        let value = interp.force(attr.value)?;
        let name = attr.name.text().into_owned();
        match (name.as_str(), value.kind()) {
            ("url", _) => {
                let text = interp.force_text(value)?;
                let parsed =
                    FlakeRef::parse(text).map_err(|error| eval::Error::other(error.to_string()).at(attr.pos))?;
                input.reference = Some(parsed);
            }
            ("follows", _) => {
                let text = interp.force_text(value)?;
                input.follows = Some(text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect());
            }
            ("flake", _) => input.is_tree = !interp.force_bool(value)?,
            ("inputs", _) => input.inputs = all(interp, interp.force_attrs(value)?)?,
            (_, Kind::String(text)) => drop(attrs.insert(name, Attr::from(text.text().into_owned()))),
            (_, Kind::Bool(flag)) => drop(attrs.insert(name, Attr::Bool(flag))),
            (_, Kind::Int(number)) => drop(attrs.insert(name, Attr::Int(number.unsigned_abs()))),
            _ => {
                let found = value.describe();
                return Err(
                    eval::Error::type_error(format!("'{name}' of a flake's input cannot be {found}")).at(attr.pos)
                );
            }
        }
    }
    if attrs.contains_key("type") {
        let parsed = FlakeRef::from_attrs(attrs).map_err(|error| eval::Error::other(error.to_string()))?;
        input.reference = Some(parsed);
    }
    Ok(input)
}
