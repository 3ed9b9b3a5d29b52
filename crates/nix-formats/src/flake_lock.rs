//! `flake.lock`: the graph of a flake's inputs, each pinned. Versions 5 to 7 are read, version 7 is written.
//!
//! The text is the one that Nix writes: sorted, indented by two, its nodes named by the first input that leads to
//! them. See `libflake/lockfile.cc` in C++ Nix.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::flake_ref::{Attrs, FlakeRef, FlakeRefError};

/// The name of a node in the file.
pub type NodeKey = String;

/// Why a lock file cannot be read.
#[derive(Debug, Error)]
pub enum LockError {
    /// Not JSON, or not of the lock file's form.
    #[error("the lock file is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Of a Nix that is too old or too new.
    #[error("the lock file has version {0}, but only the versions 5, 6 and 7 are supported")]
    Version(u64),
    /// An input leads to a node that is not there.
    #[error("the lock file has no node '{0}', though an input leads to it")]
    MissingNode(NodeKey),
    /// A node that is not the root lacks what pins it.
    #[error("the node '{0}' of the lock file lacks 'locked' or 'original'")]
    NotLocked(NodeKey),
    /// A reference in it is malformed.
    #[error("the node '{node}' of the lock file is malformed: {source}")]
    Reference {
        /// The node.
        node: NodeKey,
        /// What is wrong with the reference.
        source: FlakeRefError,
    },
    /// An input follows itself, or inputs follow each other in a circle.
    #[error("the input '{0}' follows itself")]
    Cycle(String),
}

/// Where an input leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Edge {
    /// To a node.
    Node(NodeKey),
    /// To where these inputs lead, one after the other from the root.
    Follows(Vec<String>),
}

/// A node: a flake with its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is pinned to, and what the flake that names it asked for; `None` for the root.
    pub lock: Option<Locked>,
    /// Its inputs by name.
    pub inputs: BTreeMap<String, Edge>,
}

/// How an input is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// The pinned reference.
    pub locked: FlakeRef,
    /// The reference as it stands in `flake.nix`.
    pub original: FlakeRef,
    /// Whether the input is a flake, and not a mere tree.
    pub is_flake: bool,
    /// The inputs that lead to the flake to which a relative path is relative.
    pub parent: Option<Vec<String>>,
}

/// A lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// The name of the root's node.
    pub root: NodeKey,
    /// The nodes by name.
    pub nodes: BTreeMap<NodeKey, Node>,
}

#[derive(Serialize, Deserialize)]
struct RawFile {
    nodes: BTreeMap<NodeKey, RawNode>,
    root: NodeKey,
    version: u64,
}

/// The fields are in the order in which they are written.
#[derive(Default, Serialize, Deserialize)]
struct RawNode {
    #[serde(skip_serializing_if = "Option::is_none")]
    flake: Option<bool>,
    /// Attributes of the locked reference that version 5 keeps apart.
    #[serde(skip_serializing)]
    info: Option<Attrs>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<String, Edge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<Attrs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<Attrs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Vec<String>>,
}

impl Default for LockFile {
    /// The lock file of a flake without inputs.
    fn default() -> Self {
        let root = "root".to_owned();
        let node = Node { lock: None, inputs: BTreeMap::new() };
        Self { nodes: BTreeMap::from([(root.clone(), node)]), root }
    }
}

impl LockFile {
    /// Parses a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(default)]
            version: u64,
        }
        let Version { version } = serde_json::from_str(text)?;
        if !(5..=7).contains(&version) {
            return Err(LockError::Version(version));
        }
        let raw: RawFile = serde_json::from_str(text)?;
        let mut nodes = BTreeMap::new();
        for (key, node) in raw.nodes {
            let lock = if key == raw.root { None } else { Some(parse_lock(&key, &node)?) };
            nodes.insert(key, Node { lock, inputs: node.inputs });
        }
        let file = Self { root: raw.root, nodes };
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), LockError> {
        self.node(&self.root)?;
        for edge in self.nodes.values().flat_map(|node| node.inputs.values()) {
            if let Edge::Node(key) = edge {
                self.node(key)?;
            }
        }
        Ok(())
    }

    /// The node of that name.
    pub fn node(&self, key: &str) -> Result<&Node, LockError> {
        self.nodes.get(key).ok_or_else(|| LockError::MissingNode(key.to_owned()))
    }

    /// The node that an input leads to, through what it follows.
    pub fn resolve<'a>(&'a self, edge: &'a Edge) -> Result<&'a NodeKey, LockError> {
        self.resolve_in(edge, &mut BTreeSet::new())
    }

    /// The node that inputs lead to, one after the other from the root.
    pub fn find<'a>(&'a self, path: &'a [String]) -> Result<&'a NodeKey, LockError> {
        self.find_in(path, &mut BTreeSet::new())
    }

    fn resolve_in<'a>(
        &'a self,
        edge: &'a Edge,
        followed: &mut BTreeSet<&'a [String]>,
    ) -> Result<&'a NodeKey, LockError> {
        match edge {
            Edge::Node(key) => Ok(key),
            Edge::Follows(path) => self.find_in(path, followed),
        }
    }

    fn find_in<'a>(
        &'a self,
        path: &'a [String],
        followed: &mut BTreeSet<&'a [String]>,
    ) -> Result<&'a NodeKey, LockError> {
        if !followed.insert(path) {
            return Err(LockError::Cycle(path.join("/")));
        }
        let mut key = &self.root;
        for name in path {
            let edge = self.node(key)?.inputs.get(name);
            let edge = edge.ok_or_else(|| LockError::MissingNode(path.join("/")))?;
            key = self.resolve_in(edge, followed)?;
        }
        followed.remove(path);
        Ok(key)
    }

    /// The text of the file, as Nix writes it, with the line break at its end. Nodes that no input leads to are left
    /// out.
    pub fn print(&self) -> String {
        let mut naming = Naming { file: self, names: BTreeMap::new(), nodes: BTreeMap::new() };
        let root = naming.write("root", &self.root);
        let file = RawFile {
            nodes: naming.nodes.into_iter().filter_map(|(key, node)| Some((key, node?))).collect(),
            root,
            version: 7,
        };
        let text = serde_json::to_string_pretty(&file).expect("texts, numbers and maps with text keys always print");
        format!("{text}\n")
    }
}

fn parse_lock(key: &str, node: &RawNode) -> Result<Locked, LockError> {
    let missing = || LockError::NotLocked(key.to_owned());
    let parse =
        |attrs| FlakeRef::from_attrs(attrs).map_err(|source| LockError::Reference { node: key.to_owned(), source });
    let mut locked = node.locked.clone().ok_or_else(missing)?;
    locked.extend(node.info.clone().unwrap_or_default());
    Ok(Locked {
        locked: parse(locked)?,
        original: parse(node.original.clone().ok_or_else(missing)?)?,
        is_flake: node.flake.unwrap_or(true),
        parent: node.parent.clone(),
    })
}

/// Gives nodes the names that Nix gives them: that of the first input, a number behind it if it is taken.
struct Naming<'a> {
    file: &'a LockFile,
    names: BTreeMap<&'a str, NodeKey>,
    /// `None` while the node's inputs are being written.
    nodes: BTreeMap<NodeKey, Option<RawNode>>,
}

impl<'a> Naming<'a> {
    fn write(&mut self, wanted: &str, key: &'a str) -> NodeKey {
        if let Some(name) = self.names.get(key) {
            return name.clone();
        }
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut candidates = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = candidates.find(|name| !self.nodes.contains_key(name)).expect("there are endlessly many");
        self.names.insert(key, name.clone());
        self.nodes.insert(name.clone(), None);
        let Some(node) = self.file.nodes.get(key) else { return name };
        let mut raw = RawNode::default();
        for (input, edge) in &node.inputs {
            let edge = match edge {
                Edge::Node(key) => Edge::Node(self.write(input, key)),
                Edge::Follows(path) => Edge::Follows(path.clone()),
            };
            raw.inputs.insert(input.clone(), edge);
        }
        if let Some(lock) = &node.lock {
            raw.flake = (!lock.is_flake).then_some(false);
            raw.locked = Some(lock.locked.attrs().clone());
            raw.original = Some(lock.original.attrs().clone());
            raw.parent.clone_from(&lock.parent);
        }
        self.nodes.insert(name.clone(), Some(raw));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{
  "nodes": {
    "a": {
      "inputs": {
        "nixpkgs": "nixpkgs",
        "other": [
          "b",
          "nixpkgs"
        ]
      },
      "locked": {
        "lastModified": 1700000000,
        "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "owner": "o",
        "repo": "a",
        "rev": "b4a34015c698c7793d592d66adbab377907a2be8",
        "type": "github"
      },
      "original": {
        "owner": "o",
        "repo": "a",
        "type": "github"
      }
    },
    "b": {
      "inputs": {
        "nixpkgs": "nixpkgs_2"
      },
      "locked": {
        "path": "./b",
        "type": "path"
      },
      "original": {
        "path": "./b",
        "type": "path"
      },
      "parent": []
    },
    "nixpkgs": {
      "flake": false,
      "locked": {
        "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "type": "tarball",
        "url": "https://example.org/x.tar.gz"
      },
      "original": {
        "type": "tarball",
        "url": "https://example.org/x.tar.gz"
      }
    },
    "nixpkgs_2": {
      "locked": {
        "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "path": "/x",
        "type": "path"
      },
      "original": {
        "id": "nixpkgs",
        "type": "indirect"
      }
    },
    "root": {
      "inputs": {
        "a": "a",
        "b": "b",
        "c": [
          "a",
          "other"
        ]
      }
    }
  },
  "root": "root",
  "version": 7
}
"#;

    #[test]
    fn it_prints_as_nix_does() {
        assert_eq!(LockFile::parse(LOCK).unwrap().print(), LOCK);
        let empty = "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n";
        assert_eq!(LockFile::default().print(), empty);
        assert_eq!(LockFile::parse(empty).unwrap(), LockFile::default());
    }

    #[test]
    fn follows_lead_through_other_inputs() {
        let lock = LockFile::parse(LOCK).unwrap();
        let edge = &lock.node("root").unwrap().inputs["c"];
        assert_eq!(lock.resolve(edge).unwrap(), "nixpkgs_2");
        assert!(!lock.node("nixpkgs").unwrap().lock.as_ref().unwrap().is_flake);
    }

    #[test]
    fn circles_and_missing_nodes_are_errors() {
        let circle = LOCK.replacen("\"b\",\n          \"nixpkgs\"", "\"a\",\n          \"other\"", 1);
        let lock = LockFile::parse(&circle).unwrap();
        assert!(matches!(lock.find(&["c".to_owned()]), Err(LockError::Cycle(_))));
        let missing = LOCK.replacen("\"nixpkgs\": \"nixpkgs\"", "\"nixpkgs\": \"gone\"", 1);
        assert!(matches!(LockFile::parse(&missing), Err(LockError::MissingNode(_))));
        let newer = LOCK.replacen("\"version\": 7", "\"version\": 8", 1);
        assert!(matches!(LockFile::parse(&newer), Err(LockError::Version(8))));
        assert!(LockFile::parse("[]").is_err());
    }
}
