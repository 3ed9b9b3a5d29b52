//! nixpkgs' older way to lay out layers: an object for itself, those first that most others need.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix_formats::store_path::StorePath;

use crate::reference_graph::Graph;

type Counts = BTreeMap<StorePath, u128>;

/// The objects of a graph as graphs of their own, the most popular first; of equals the first by name, then by hash.
///
/// An object counts once for each object above that refers to it, and once more for each step that it lies below.
pub(crate) fn contest(graph: &Graph) -> Vec<Graph> {
    let mut cache = BTreeMap::new();
    let roots = graph.roots();
    let counts = count(graph, &roots, &mut cache);
    // Objects in a cycle that nothing leads to have no count, and come last.
    let mut paths = graph.paths();
    paths.sort_by_key(|path| {
        let name = format!("{}-{}", path.name(), path.hash_part());
        (Reverse(counts.get(path).copied().unwrap_or(0)), name)
    });
    paths.iter().map(|path| graph.single(path)).collect()
}

fn count(graph: &Graph, tops: &[StorePath], cache: &mut BTreeMap<StorePath, Rc<Counts>>) -> Counts {
    let mut counts = Counts::new();
    for top in tops {
        *counts.entry(top.clone()).or_default() += 1;
        let below = match cache.get(top) {
            Some(known) => Rc::clone(known),
            None => {
                let references: Vec<_> = graph.references_of(top).cloned().collect();
                // A cycle would never end; its second visit counts nothing.
                cache.insert(top.clone(), Rc::default());
                let below = Rc::new(count(graph, &references, cache));
                cache.insert(top.clone(), Rc::clone(&below));
                below
            }
        };
        for (path, popularity) in &*below {
            let count = counts.entry(path.clone()).or_default();
            // Counts double with each level of a deep graph.
            *count = count.saturating_add(popularity.saturating_add(1));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Object;

    fn path(name: &str) -> StorePath {
        StorePath::from_base_name(format!("{}-{name}", "0".repeat(32))).unwrap()
    }

    #[test]
    fn the_example_of_nixpkgs() {
        let edges = [("A", "BG"), ("B", "CE"), ("C", "DE"), ("D", "F"), ("E", "F"), ("F", ""), ("G", "")];
        let closure = edges.map(|(name, references)| Object {
            path: path(name),
            nar_size: 1,
            references: references.chars().map(|c| path(&c.to_string())).collect::<BTreeSet<_>>(),
        });
        let graph = Graph::of(&closure);
        let counts = count(&graph, &graph.roots(), &mut BTreeMap::new());
        let counts: Vec<_> = counts.into_iter().map(|(path, count)| (path.name().to_owned(), count)).collect();
        let wanted = [("A", 1), ("B", 2), ("C", 3), ("D", 4), ("E", 5), ("F", 9), ("G", 2)];
        assert_eq!(counts, wanted.map(|(name, count)| (name.to_owned(), count)));
    }
}
