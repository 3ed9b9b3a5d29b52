//! The graph of references that a layering pipeline takes apart.

use std::collections::{BTreeMap, BTreeSet};

use nix_formats::store_path::StorePath;

use crate::plan::Object;

/// Store objects, the smallest first, and the references among them, without those to themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<(StorePath, u64)>,
    references: BTreeMap<StorePath, BTreeSet<StorePath>>,
}

/// Objects that a step is told.
#[derive(Default)]
pub(crate) struct PathSet {
    pub paths: BTreeSet<StorePath>,
    /// What these refer to is meant.
    pub children_of: BTreeSet<StorePath>,
}

type Set = BTreeSet<StorePath>;

impl Graph {
    pub fn of(closure: &[Object]) -> Self {
        let mut nodes: Vec<_> = closure.iter().map(|object| (object.path.clone(), object.nar_size)).collect();
        nodes.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        let references = closure.iter().map(|object| {
            let others = object.references.iter().filter(|path| **path != object.path);
            (object.path.clone(), others.cloned().collect())
        });
        let references = references.collect();
        Self { nodes, references }.kept(|_| true)
    }

    pub fn paths(&self) -> Vec<StorePath> {
        self.nodes.iter().map(|(path, _)| path.clone()).collect()
    }

    /// What an object refers to, the smallest first.
    pub fn references_of(&self, path: &StorePath) -> impl Iterator<Item = &StorePath> {
        self.references.get(path).into_iter().flatten()
    }

    /// The objects that no other refers to.
    pub fn roots(&self) -> Vec<StorePath> {
        let referred: BTreeSet<_> = self.references.values().flatten().collect();
        self.nodes.iter().map(|(path, _)| path).filter(|path| !referred.contains(path)).cloned().collect()
    }

    /// The graph of one of the objects.
    pub fn single(&self, path: &StorePath) -> Self {
        self.kept(|other| other == path)
    }

    /// Several graphs as one, without references from one to another.
    pub fn merged(graphs: Vec<Self>) -> Self {
        let mut all = Self::default();
        for graph in graphs {
            all.nodes.extend(graph.nodes);
            all.references.extend(graph.references);
        }
        all
    }

    /// Graphs of this many objects each, in order.
    pub fn split_every(&self, count: usize) -> Vec<Self> {
        let chunks = self.nodes.chunks(count);
        chunks.map(|chunk| self.kept(|path| chunk.iter().any(|(other, _)| other == path))).collect()
    }

    pub fn without(&self, set: &PathSet) -> Self {
        let removed = self.select(set);
        self.kept(|path| !removed.contains(path))
    }

    /// `main`: the objects and what they need; `rest`: all others.
    pub fn subcomponent_out(&self, set: &PathSet) -> Vec<(&'static str, Self)> {
        self.split(&self.closure(self.select(set)))
    }

    /// `main`: the objects and what needs them; `rest`: all others.
    pub fn subcomponent_in(&self, set: &PathSet) -> Vec<(&'static str, Self)> {
        self.split(&self.reversed().closure(self.select(set)))
    }

    /// `main`: the objects and what only they need; `common`: what they and others need; `rest`: all others.
    pub fn split_paths(&self, set: &PathSet) -> Vec<(&'static str, Self)> {
        let selected = self.select(set);
        if selected.is_empty() {
            return vec![("rest", self.clone())];
        }
        let roots = self.roots();
        if let [only] = &roots[..]
            && selected.contains(only)
        {
            return vec![("main", self.clone())];
        }
        let split_off = self.closure(selected.clone());
        let mut cut = self.clone();
        cut.references.values_mut().for_each(|references| references.retain(|path| !selected.contains(path)));
        // Where there are several roots, nixpkgs adds one above all, and cuts what leads from it to the objects too.
        let above = roots.into_iter().filter(|root| !selected.contains(root)).collect();
        let reached = cut.closure(above);
        let parts = [
            ("main", cut.kept(|path| split_off.contains(path) && !reached.contains(path))),
            ("common", cut.kept(|path| split_off.contains(path) && reached.contains(path))),
            ("rest", cut.kept(|path| !split_off.contains(path) && reached.contains(path))),
        ];
        parts.into_iter().filter(|(_, graph)| !graph.nodes.is_empty()).collect()
    }

    /// The objects of the graph that a set names.
    fn select(&self, set: &PathSet) -> Set {
        let children = set.children_of.iter().flat_map(|path| self.references_of(path));
        set.paths.iter().chain(children).filter(|path| self.references.contains_key(*path)).cloned().collect()
    }

    fn split(&self, main: &Set) -> Vec<(&'static str, Self)> {
        let parts = [("main", self.kept(|path| main.contains(path))), ("rest", self.kept(|path| !main.contains(path)))];
        parts.into_iter().filter(|(_, graph)| !graph.nodes.is_empty()).collect()
    }

    fn closure(&self, start: Set) -> Set {
        let mut queue: Vec<_> = start.iter().cloned().collect();
        let mut closure = start;
        while let Some(path) = queue.pop() {
            for reference in self.references_of(&path) {
                if closure.insert(reference.clone()) {
                    queue.push(reference.clone());
                }
            }
        }
        closure
    }

    fn reversed(&self) -> Self {
        let mut references: BTreeMap<StorePath, Set> = BTreeMap::new();
        for (path, _) in &self.nodes {
            references.entry(path.clone()).or_default();
            for reference in self.references_of(path) {
                references.entry(reference.clone()).or_default().insert(path.clone());
            }
        }
        Self { nodes: self.nodes.clone(), references }
    }

    /// The graph of some of the objects, and the references among them.
    fn kept(&self, keep: impl Fn(&StorePath) -> bool) -> Self {
        let nodes: Vec<_> = self.nodes.iter().filter(|(path, _)| keep(path)).cloned().collect();
        let kept: BTreeSet<_> = nodes.iter().map(|(path, _)| path.clone()).collect();
        let references = kept.iter().map(|path| {
            (path.clone(), self.references_of(path).filter(|reference| kept.contains(*reference)).cloned().collect())
        });
        Self { references: references.collect(), nodes }
    }
}
