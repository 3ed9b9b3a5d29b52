//! Locking the inputs of a flake: what `flake.nix` asks for, pinned, with as much as possible of the pins there were.
//!
//! The rules are those of `lockFlake` in `libflake/flake.cc` of C++ Nix, so that both keep each other's lock files. An
//! input whose reference has not changed is neither fetched nor changed, nor are its inputs.

mod compute;
mod diff;
mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix_formats::flake_lock::{LockFile, NodeKey};
use nix_formats::flake_ref::FlakeRef;

use crate::{FetchError, Fetcher, Tree};
use compute::Computing;

pub use diff::{Change, changes};
pub use inputs::{Declared, Input, Inputs};

/// Reads what the `flake.nix` in a directory (where it really is) says of the flake's inputs. The error is a sentence.
pub type ReadInputs<'a> = dyn Fn(&Path) -> Result<Declared, String> + 'a;

/// Names an input by the inputs that lead to it: `["dwarffs", "nixpkgs"]`.
pub type InputPath = Vec<String>;

/// What to change beside what must change.
#[derive(Clone, Debug, Default)]
pub struct LockOptions {
    /// Pin these inputs anew.
    pub update: BTreeSet<InputPath>,
    /// Pin all inputs anew.
    pub update_all: bool,
    /// Use these references in place of what the flakes ask for.
    pub overrides: BTreeMap<InputPath, FlakeRef>,
}

/// A flake with its inputs pinned.
#[derive(Debug)]
pub struct Locked {
    /// The pins. What is to be written, if it is to be written, is [`LockFile::print`].
    pub lock: LockFile,
    /// The pins that there were, an empty set if there was no lock file.
    pub old: LockFile,
    /// The trees that had to be fetched, by node; the root's is always there, with its submodules if it wants them.
    pub trees: BTreeMap<NodeKey, Tree>,
}

impl Locked {
    /// Is the lock file on the disk not what it should be?
    pub fn is_changed(&self) -> bool {
        self.lock.print() != self.old.print()
    }

    /// An input that is not pinned to anything that lasts, so that the lock file should not be written.
    pub fn unlocked(&self) -> Option<&FlakeRef> {
        let locks = self.lock.nodes.values().filter_map(|node| node.lock.as_ref());
        locks.map(|lock| &lock.locked).find(|reference| !reference.is_locked() && !reference.is_relative())
    }
}

/// Pins the inputs of the flake in `tree`, in the directory `dir` of it. Nothing is written.
pub fn lock(
    fetcher: &Fetcher,
    tree: &Tree,
    dir: &str,
    read: &ReadInputs<'_>,
    options: &LockOptions,
) -> Result<Locked, FetchError> {
    let source = Source { tree: tree.clone(), dir: PathBuf::from(dir) };
    let mut computing = Computing::new(fetcher, read, options, &source);
    let (source, inputs) = computing.read_inputs(source, &[])?;
    let old = Rc::new(source.lock_file(fetcher)?);
    let kept = (!options.update_all).then(|| (old.clone(), old.root.clone()));
    computing.flake(&inputs, &[], &source, kept)?;
    let (lock, fetched) = computing.finish();
    // Printing names the nodes as Nix does.
    let lock = LockFile::parse(&lock.print())?;
    let mut trees = BTreeMap::from([(lock.root.clone(), source.tree.clone())]);
    for (path, tree) in fetched {
        trees.insert(lock.find(&path)?.clone(), tree);
    }
    for node in lock.nodes.values() {
        for edge in node.inputs.values() {
            lock.resolve(edge)?;
        }
    }
    Ok(Locked { lock, old: Rc::unwrap_or_clone(old), trees })
}

/// A flake's directory in a tree.
#[derive(Clone)]
struct Source {
    tree: Tree,
    dir: PathBuf,
}

impl Source {
    fn real_path(&self, fetcher: &Fetcher) -> PathBuf {
        fetcher.store.real_path(&self.tree.path).join(&self.dir)
    }

    /// The flake's own lock file; an empty one if it has none.
    fn lock_file(&self, fetcher: &Fetcher) -> Result<LockFile, FetchError> {
        let file = self.real_path(fetcher).join("flake.lock");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(LockFile::parse(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LockFile::default()),
            Err(error) => Err(FetchError::io("read", file)(error)),
        }
    }

    /// The directory that a path relative to this flake's means. It cannot lead out of the tree.
    fn relative(&self, path: &str) -> Self {
        let mut dir = self.dir.clone();
        for component in Path::new(path).components() {
            match component {
                std::path::Component::Normal(name) => dir.push(name),
                std::path::Component::ParentDir => {
                    dir.pop();
                }
                _ => {}
            }
        }
        Self { tree: self.tree.clone(), dir }
    }
}
