//! The new pins.

use std::collections::BTreeMap;
use std::rc::Rc;

use nix_formats::flake_lock::{Edge, LockFile, Locked as Pin, Node, NodeKey};
use nix_formats::flake_ref::{Attrs, FlakeRef};

use super::inputs::indirect;
use super::{Declared, Input, InputPath, Inputs, LockOptions, ReadInputs, Source};
use crate::reference::shown;
use crate::{Asker, FetchError, Fetcher, Tree};

/// The pins that there were, and the node of them that is being pinned again.
type Old = Option<(Rc<LockFile>, NodeKey)>;

/// Something said of an input by a flake above it.
#[derive(Clone)]
struct Override {
    input: Input,
    /// The flake that says it: relative paths are relative to it.
    source: Source,
    parent: Option<InputPath>,
    /// Whether the user says it, and not a flake.
    is_explicit: bool,
}

/// One input being pinned.
struct Wanted<'a> {
    path: &'a InputPath,
    input: Input,
    reference: FlakeRef,
    /// What stands in `flake.nix`, which is what counts as the original even if the user overrides it.
    original: FlakeRef,
    source: &'a Source,
    parent: Option<InputPath>,
    /// Whether it is the user who says what it is.
    is_explicit: bool,
}

/// The lock file that comes to be.
pub(super) struct Computing<'a> {
    fetcher: &'a Fetcher,
    read: &'a ReadInputs<'a>,
    options: &'a LockOptions,
    lock: LockFile,
    overrides: BTreeMap<InputPath, Override>,
    /// The flakes being pinned, each an input of the one before.
    parents: Vec<FlakeRef>,
    trees: Vec<(InputPath, Tree)>,
}

impl<'a> Computing<'a> {
    pub fn new(fetcher: &'a Fetcher, read: &'a ReadInputs<'a>, options: &'a LockOptions, root: &Source) -> Self {
        let explicit = |reference: &FlakeRef| Override {
            input: Input { reference: Some(reference.clone()), ..Input::default() },
            source: root.clone(),
            parent: None,
            is_explicit: true,
        };
        let overrides = options.overrides.iter().map(|(path, reference)| (path.clone(), explicit(reference)));
        Self {
            fetcher,
            read,
            options,
            lock: LockFile::default(),
            overrides: overrides.collect(),
            parents: Vec::new(),
            trees: Vec::new(),
        }
    }

    /// The pins, and the trees that were fetched.
    pub fn finish(self) -> (LockFile, Vec<(InputPath, Tree)>) {
        (self.lock, self.trees)
    }

    /// What a flake says of its inputs, and its tree as it wants it to be fetched; `path` leads to the flake.
    pub fn read_inputs(&self, source: Source, path: &[String]) -> Result<(Source, Inputs), FetchError> {
        let directory = source.real_path(self.fetcher);
        let wrong = |message| FetchError::Inputs {
            flake: if path.is_empty() { shown(&source.tree.locked) } else { path.join("/") },
            message,
        };
        let Declared { inputs, own } = (self.read)(&directory).map_err(wrong)?;
        let inputs = inputs.into_iter().map(|(name, input)| (name, input.below(path))).collect();
        let source = self.with_own(source, own)?;
        Ok((source, inputs))
    }

    /// The tree with the submodules and large files that its flake wants.
    fn with_own(&self, source: Source, own: Attrs) -> Result<Source, FetchError> {
        let locked = &source.tree.locked;
        let mut wanted = locked.clone();
        for (name, value) in own {
            wanted = wanted.with(&name, Some(value));
        }
        let is_off = |name: &str| !wanted.flag(name) && !locked.flag(name);
        if wanted == *locked || (is_off("submodules") && is_off("lfs")) {
            return Ok(source);
        }
        let wanted =
            ["narHash", "dirtyRev", "dirtyShortRev"].iter().fold(wanted, |wanted, name| wanted.with(name, None));
        // Only some kinds of trees have these.
        let wanted = FlakeRef::from_attrs(wanted.attrs().clone())?;
        Ok(Source { tree: self.fetcher.tree(&wanted, "source")?, dir: source.dir })
    }

    /// Pins the inputs of the root.
    pub fn flake(&mut self, inputs: &Inputs, path: &[String], source: &Source, old: Old) -> Result<(), FetchError> {
        let root = self.lock.root.clone();
        self.inputs(inputs, &root, path, source, old, false)
    }

    /// Pins the inputs of a node. `trust_old` says that `inputs` come from the old pins themselves.
    fn inputs(
        &mut self,
        inputs: &Inputs,
        node: &NodeKey,
        prefix: &[String],
        source: &Source,
        old: Old,
        trust_old: bool,
    ) -> Result<(), FetchError> {
        for (name, input) in inputs {
            self.note_overrides(input, &join(prefix, name), prefix, source);
        }
        for (name, input) in inputs {
            let path = join(prefix, name);
            let edge = self.input(input, &path, prefix, source, old.as_ref(), trust_old)?;
            if let Some(node) = self.lock.nodes.get_mut(node) {
                node.inputs.insert(name.clone(), edge);
            }
        }
        Ok(())
    }

    fn note_overrides(&mut self, input: &Input, path: &[String], parent: &[String], source: &Source) {
        for (name, input) in &input.overrides {
            let path = join(path, name);
            self.note_overrides(input, &path, parent, source);
            if input.reference.is_none() && input.follows.is_none() {
                continue;
            }
            // What a flake further up says counts more, and was noted before.
            self.overrides.entry(path).or_insert_with(|| Override {
                input: input.clone(),
                source: source.clone(),
                parent: Some(parent.to_vec()),
                is_explicit: false,
            });
        }
    }

    fn input(
        &mut self,
        own: &Input,
        path: &InputPath,
        prefix: &[String],
        source: &Source,
        old: Option<&(Rc<LockFile>, NodeKey)>,
        trust_old: bool,
    ) -> Result<Edge, FetchError> {
        let overriding = self.overrides.get(path).cloned();
        let (input, from, parent, is_explicit) = match &overriding {
            Some(found) => {
                let input = Input { is_flake: own.is_flake, ..found.input.clone() };
                (input, &found.source, found.parent.clone(), found.is_explicit)
            }
            None => (own.clone(), source, Some(prefix.to_vec()), false),
        };
        if let Some(follows) = input.follows {
            return Ok(Edge::Follows(follows));
        }
        let name = path.last().map_or("", String::as_str);
        let wrong = |message| FetchError::Inputs { flake: path.join("/"), message };
        let reference = input.reference.clone().map_or_else(|| indirect(name), Ok).map_err(wrong)?;
        let original = own.reference.clone().filter(|_| is_explicit).unwrap_or_else(|| reference.clone());
        let parent = if reference.is_relative() { parent } else { None };
        let wanted = Wanted { path, input, reference, original, source: from, parent, is_explicit };
        let kept = old.filter(|_| !is_explicit).and_then(|(lock, key)| self.kept(&wanted, lock, key));
        match kept {
            Some((lock, key, pin)) => self.keep(&wanted, lock, key, pin, trust_old),
            None => self.pin(&wanted),
        }
    }

    /// The old pin of an input, if it may stay.
    fn kept(&self, wanted: &Wanted<'_>, lock: &Rc<LockFile>, key: &str) -> Option<(Rc<LockFile>, NodeKey, Pin)> {
        if self.options.update.contains(wanted.path) {
            return None;
        }
        let Edge::Node(key) = lock.nodes.get(key)?.inputs.get(wanted.path.last()?)? else { return None };
        let pin = lock.nodes.get(key)?.lock.clone()?;
        let is_same = pin.original == wanted.reference && pin.parent == wanted.parent;
        is_same.then(|| (lock.clone(), key.clone(), pin))
    }

    /// Takes over an old pin. Its flake is fetched only if what it says of its inputs may have to be read again.
    fn keep(
        &mut self,
        wanted: &Wanted<'_>,
        lock: Rc<LockFile>,
        key: NodeKey,
        pin: Pin,
        trust_old: bool,
    ) -> Result<Edge, FetchError> {
        let node = self.add_node(pin.clone());
        let wants_update = |update: &InputPath| update.len() > wanted.path.len() && update.starts_with(wanted.path);
        let as_said = if self.options.update.iter().any(wants_update) {
            None
        } else {
            self.inputs_of_pin(wanted.path, &lock, &key, trust_old)
        };
        match as_said {
            Some(inputs) => {
                self.inputs(&inputs, &node, wanted.path, wanted.source, Some((lock, key)), true)?;
            }
            None => {
                let source = self.source(wanted, &pin.locked)?;
                let (source, inputs) = self.read_inputs(source, wanted.path)?;
                if !pin.locked.is_relative() {
                    self.trees.push((wanted.path.clone(), source.tree.clone()));
                }
                self.inputs(&inputs, &node, wanted.path, &source, Some((lock, key)), false)?;
            }
        }
        Ok(Edge::Node(node))
    }

    /// What a pinned flake says of its inputs, as far as the old pins tell; `None` if it must be read.
    fn inputs_of_pin(&self, path: &[String], lock: &LockFile, key: &str, trust_old: bool) -> Option<Inputs> {
        let mut inputs = Inputs::new();
        for (name, edge) in &lock.nodes.get(key)?.inputs {
            let input = match edge {
                Edge::Node(key) => {
                    let pin = lock.nodes.get(key)?.lock.as_ref()?;
                    Input { reference: Some(pin.original.clone()), is_flake: pin.is_flake, ..Input::default() }
                }
                // The flake above may have said this, and may not say it any more.
                Edge::Follows(_) if !trust_old && !self.overrides.contains_key(&join(path, name)) => return None,
                Edge::Follows(follows) => Input { follows: Some(follows.clone()), ..Input::default() },
            };
            inputs.insert(name.clone(), input);
        }
        Some(inputs)
    }

    /// Pins an input anew.
    fn pin(&mut self, wanted: &Wanted<'_>) -> Result<Edge, FetchError> {
        let source = self.source(wanted, &wanted.reference)?;
        let is_relative = wanted.reference.is_relative();
        let is_flake = wanted.input.is_flake;
        let (source, inputs) = match is_flake {
            true => self.read_inputs(source, wanted.path)?,
            false => (source, Inputs::new()),
        };
        if !is_relative {
            self.trees.push((wanted.path.clone(), source.tree.clone()));
        }
        let locked = if is_relative { wanted.reference.clone() } else { source.tree.locked.clone() };
        let node =
            self.add_node(Pin { locked, original: wanted.original.clone(), is_flake, parent: wanted.parent.clone() });
        if !is_flake {
            return Ok(Edge::Node(node));
        }
        if !is_relative && self.parents.contains(&wanted.reference) {
            let message = format!("the flake '{}' is an input of itself", shown(&wanted.reference));
            return Err(FetchError::Inputs { flake: wanted.path.join("/"), message });
        }
        self.parents.push(wanted.reference.clone());
        let own = source.lock_file(self.fetcher)?;
        let own = Rc::new(below(&own, wanted.path));
        let root = own.root.clone();
        self.inputs(&inputs, &node, wanted.path, &source, Some((own, root)), false)?;
        self.parents.pop();
        Ok(Edge::Node(node))
    }

    /// The directory of an input, fetched if it is not inside of a tree that is.
    fn source(&mut self, wanted: &Wanted<'_>, reference: &FlakeRef) -> Result<Source, FetchError> {
        if reference.is_relative() {
            let directory = wanted.source.relative(reference.text("path").unwrap_or_default());
            return Ok(directory.relative(reference.dir()));
        }
        let asker = if wanted.is_explicit { Asker::User } else { Asker::Flake };
        let reference = self.fetcher.resolve(reference, asker)?;
        let tree = self.fetcher.tree(&reference, "source")?;
        Ok(Source { tree, dir: reference.dir().into() })
    }

    fn add_node(&mut self, pin: Pin) -> NodeKey {
        let key = format!("node-{}", self.lock.nodes.len());
        self.lock.nodes.insert(key.clone(), Node { lock: Some(pin), inputs: BTreeMap::new() });
        key
    }
}

/// A flake's own lock file, seen from a flake that it is an input of.
fn below(lock: &LockFile, prefix: &[String]) -> LockFile {
    let mut lock = lock.clone();
    for node in lock.nodes.values_mut() {
        for edge in node.inputs.values_mut() {
            if let Edge::Follows(path) = edge {
                path.splice(0..0, prefix.iter().cloned());
            }
        }
        if let Some(parent) = node.lock.as_mut().and_then(|pin| pin.parent.as_mut()) {
            parent.splice(0..0, prefix.iter().cloned());
        }
    }
    lock
}

fn join(path: &[String], name: &str) -> InputPath {
    path.iter().cloned().chain([name.to_owned()]).collect()
}
