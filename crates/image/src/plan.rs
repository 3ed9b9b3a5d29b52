//! Which store objects share a layer.
//!
//! Registries, docker and podman take some hundred layers at most, so a large closure must share them. The plan follows
//! what changes together: the largest objects become *primaries*, and objects that the same primaries need share a
//! layer. A change to one package then re-lays the layers of that package, and adding one adds its own.
//!
//! Half of the layers go to the largest objects, each alone. Otherwise a large object would share its layer with small
//! ones that it alone needs, and be sent again when another package begins to need one of them (measured on Debian's
//! podman, skopeo and git: adding nginx sent 88 MB of 323 again, and sends 21).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nix_formats::store_path::StorePath;

/// A store object as the plan sees it.
#[derive(Clone, Debug)]
pub struct Object {
    /// The object.
    pub path: StorePath,
    /// The size of its NAR in bytes.
    pub nar_size: u64,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
}

/// Smaller objects do not decide about layers: they go where what needs them goes, and cost little there.
const SMALLEST_PRIMARY: u64 = 128 << 10;

/// No client takes more layers than this.
pub const MOST_LAYERS: usize = 127;

/// Groups a closure into at most `limit` layers (1 to [`MOST_LAYERS`]). The lowest layer holds what most others need.
/// The groups and their order depend on the closure alone, not on the order in which it is given.
pub fn layers(closure: &[Object], limit: usize) -> Vec<Vec<StorePath>> {
    let graph = Graph::new(closure);
    let mut groups: Vec<Vec<usize>> = if closure.len() <= limit {
        (0..closure.len()).map(|index| vec![index]).collect()
    } else {
        let limit = limit.min(MOST_LAYERS);
        let largest = graph.largest();
        let alone: BTreeSet<_> = largest.iter().copied().take(limit / 2).collect();
        let needed = graph.primaries(&largest, &alone, limit - alone.len());
        alone.iter().map(|index| vec![*index]).chain(group_by(&needed, &alone)).collect()
    };
    let closure_sizes = graph.closure_sizes();
    for group in &mut groups {
        group.sort_by_key(|index| graph.sort_key(*index));
    }
    // An object's closure is larger than those of all that it needs, so that this order puts needs below.
    groups.sort_by_key(|group| {
        let largest = group.iter().map(|index| closure_sizes[*index]).max();
        (largest, group.first().map(|index| graph.sort_key(*index)))
    });
    let path = |index: usize| graph.objects[index].path.clone();
    groups.into_iter().map(|group| group.into_iter().map(path).collect()).collect()
}

/// A closure with references as indices.
struct Graph<'a> {
    objects: Vec<&'a Object>,
    references: Vec<Vec<usize>>,
}

/// The primaries that need an object, a bit for each: there are fewer than [`MOST_LAYERS`].
type Needed = u128;

impl<'a> Graph<'a> {
    fn new(closure: &'a [Object]) -> Self {
        let mut objects: Vec<_> = closure.iter().collect();
        objects.sort_by_key(|object| (object.path.name(), object.path.hash_part()));
        let indices: HashMap<_, _> = objects.iter().enumerate().map(|(index, object)| (&object.path, index)).collect();
        let references = objects.iter().map(|object| {
            let inside = object.references.iter().filter_map(|path| indices.get(path).copied());
            inside.collect()
        });
        let references = references.collect();
        Self { objects, references }
    }

    fn sort_key(&self, index: usize) -> (&str, &str) {
        let path = &self.objects[index].path;
        (path.name(), path.hash_part())
    }

    /// Calls `visit` for the object and everything that it needs.
    fn visit_closure(&self, start: usize, seen: &mut [usize], mark: usize, mut visit: impl FnMut(usize)) {
        let mut queue = vec![start];
        while let Some(index) = queue.pop() {
            if std::mem::replace(&mut seen[index], mark) != mark {
                visit(index);
                queue.extend(&self.references[index]);
            }
        }
    }

    /// The objects that are large enough to decide about layers, the largest first.
    fn largest(&self) -> Vec<usize> {
        let mut largest: Vec<usize> =
            (0..self.objects.len()).filter(|index| self.objects[*index].nar_size >= SMALLEST_PRIMARY).collect();
        largest.sort_by_key(|index| (std::cmp::Reverse(self.objects[*index].nar_size), self.sort_key(*index)));
        largest
    }

    /// Takes the largest objects as primaries, one after the other, as long as the groups of those that are not alone
    /// fit the limit.
    fn primaries(&self, largest: &[usize], alone: &BTreeSet<usize>, limit: usize) -> Vec<Needed> {
        let mut needed = vec![0; self.objects.len()];
        let mut seen = vec![usize::MAX; self.objects.len()];
        for (bit, primary) in largest.iter().copied().take(MOST_LAYERS).enumerate() {
            let mut next = needed.clone();
            self.visit_closure(primary, &mut seen, bit, |index| next[index] |= 1 << bit);
            let sets = next.iter().enumerate().filter(|(index, _)| !alone.contains(index)).map(|(_, set)| set);
            if sets.collect::<BTreeSet<_>>().len() > limit {
                break;
            }
            needed = next;
        }
        needed
    }

    /// The size of each object with everything that it needs.
    fn closure_sizes(&self) -> Vec<u64> {
        let mut seen = vec![usize::MAX; self.objects.len()];
        let size = |start| {
            let mut sum = 0u64;
            self.visit_closure(start, &mut seen, start, |index| sum = sum.saturating_add(self.objects[index].nar_size));
            sum
        };
        (0..self.objects.len()).map(size).collect()
    }
}

fn group_by(needed: &[Needed], alone: &BTreeSet<usize>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<Needed, Vec<usize>> = BTreeMap::new();
    for (index, set) in needed.iter().enumerate().filter(|(index, _)| !alone.contains(index)) {
        groups.entry(*set).or_default().push(index);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: usize, nar_size: u64, references: &[usize]) -> Object {
        Object { path: path(number), nar_size, references: references.iter().map(|n| path(*n)).collect() }
    }

    fn path(number: usize) -> StorePath {
        StorePath::from_base_name(format!("{number:032}-object-{number}")).unwrap()
    }

    /// A library that all need, `packages` packages with `parts` parts each, and an application on top.
    fn closure(packages: usize, parts: usize) -> Vec<Object> {
        let mut objects = vec![object(0, 30_000_000, &[0])];
        let mut heads = Vec::new();
        for package in 0..packages {
            let first = 100 * (package + 1);
            let numbers: Vec<_> = (first..first + parts).collect();
            objects.extend(numbers.iter().map(|number| object(*number, 1000 + *number as u64, &[0])));
            let mut needs = numbers;
            needs.push(0);
            objects.push(object(first + 99, 1_000_000 * (package as u64 + 1), &needs));
            heads.push(first + 99);
        }
        objects.push(object(99_999, 50, &heads));
        objects
    }

    #[test]
    fn every_object_is_in_one_layer_and_the_limit_holds() {
        for (packages, parts, limit) in [(1, 1, 99), (30, 20, 99), (30, 20, 2), (30, 20, 1), (90, 90, 127)] {
            let closure = closure(packages, parts);
            let layers = layers(&closure, limit);
            assert!(layers.len() <= limit, "{} layers", layers.len());
            let mut all: Vec<_> = layers.concat();
            all.sort();
            let mut wanted: Vec<_> = closure.iter().map(|object| object.path.clone()).collect();
            wanted.sort();
            assert_eq!(all, wanted);
        }
    }

    #[test]
    fn the_order_of_the_closure_does_not_matter() {
        let mut closure = closure(30, 20);
        let plan = layers(&closure, 40);
        closure.reverse();
        assert_eq!(plan, layers(&closure, 40));
    }

    #[test]
    fn adding_a_package_moves_no_other() {
        let before = layers(&closure(20, 20), 60);
        let after: BTreeSet<_> = layers(&closure(21, 20), 60).into_iter().collect();
        let moved = before.iter().filter(|layer| !after.contains(*layer)).count();
        assert_eq!(moved, 0);
    }

    #[test]
    fn what_is_needed_lies_below() {
        let closure = closure(20, 20);
        let layers = layers(&closure, 60);
        assert_eq!(layers[0], [path(0)]);
        assert!(layers.last().unwrap().contains(&path(99_999)));
    }
}
