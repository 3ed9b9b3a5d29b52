//! What differs between two lock files, for people.

use std::collections::BTreeMap;
use std::fmt;

use nix_formats::flake_lock::{Edge, LockFile};

use super::InputPath;
use crate::reference::shown;

/// An input that leads elsewhere than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The input.
    pub path: InputPath,
    /// Where it led; `None` if it is new.
    pub from: Option<String>,
    /// Where it leads; `None` if it is gone.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.join("/");
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "updated input '{path}': {from} → {to}"),
            (None, Some(to)) => write!(f, "added input '{path}': {to}"),
            (_, None) => write!(f, "removed input '{path}'"),
        }
    }
}

/// What changed from `old` to `new`, in order of the inputs.
pub fn changes(old: &LockFile, new: &LockFile) -> Vec<Change> {
    let (old, new) = (targets(old), targets(new));
    let mut changes = Vec::new();
    for path in old.keys().chain(new.keys().filter(|path| !old.contains_key(*path))) {
        let (from, to) = (old.get(path).cloned(), new.get(path).cloned());
        if from != to {
            changes.push(Change { path: path.clone(), from, to });
        }
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

/// Where every input leads.
fn targets(lock: &LockFile) -> BTreeMap<InputPath, String> {
    let mut targets = BTreeMap::new();
    let mut queue: Vec<(InputPath, &str)> = vec![(Vec::new(), &lock.root)];
    let mut seen = std::collections::BTreeSet::new();
    while let Some((prefix, key)) = queue.pop() {
        if !seen.insert(key) {
            continue;
        }
        let Some(node) = lock.nodes.get(key) else { continue };
        for (name, edge) in &node.inputs {
            let path: InputPath = prefix.iter().cloned().chain([name.clone()]).collect();
            let target = match edge {
                Edge::Follows(follows) => format!("follows '{}'", follows.join("/")),
                Edge::Node(key) => {
                    queue.push((path.clone(), key));
                    let pin = lock.nodes.get(key).and_then(|node| node.lock.as_ref());
                    pin.map_or_else(String::new, |pin| format!("'{}'", shown(&pin.locked)))
                }
            };
            targets.insert(path, target);
        }
    }
    targets
}
