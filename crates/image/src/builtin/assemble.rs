//! From a definition's contents to recipes of layers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix_formats::store_path::StorePath;
use store::progress::Task;
use store::{PathInfo, Store};

use crate::cache::LayerCache;
use crate::error::ImageError;
use crate::layer::Layer;
use crate::objects::{Objects, STORE_DIR};
use crate::pack::Pack;
use crate::sink::Destination;
use crate::tree::{self, Directory, Node};

/// How many layers are packed at the same time at most; each has some blocks in memory, and threads of its own that compress.
const PACKED_AT_ONCE: usize = 4;

/// What is known of the inputs of an image.
pub(crate) struct Inputs<'a> {
    pub store: &'a dyn Store,
    pub objects: &'a Objects,
    pub by_hash: BTreeMap<&'a str, &'a StorePath>,
}

impl<'a> Inputs<'a> {
    pub fn new(store: &'a dyn Store, objects: &'a Objects, closure: &'a BTreeSet<StorePath>) -> Self {
        let by_hash = closure.iter().map(|path| (path.hash_part(), path)).collect();
        Self { store, objects, by_hash }
    }

    /// The inputs that a text names.
    pub fn named_in(&self, text: &str) -> BTreeSet<StorePath> {
        let prefix = format!("{STORE_DIR}/");
        let starts = text.match_indices(&prefix).map(|(start, found)| start + found.len());
        let hashes = starts.filter_map(|start| text.get(start..start + 32));
        hashes.filter_map(|hash| self.by_hash.get(hash)).map(|path| (*path).clone()).collect()
    }

    /// What the contents refer to: all that a copy of them can lead to.
    pub fn references(&self, contents: &[PathBuf]) -> Result<BTreeSet<StorePath>, ImageError> {
        let mut references = BTreeSet::new();
        for path in contents {
            references.extend(self.info(&object_of(path)?)?.references);
        }
        Ok(references)
    }

    /// What the links to the contents lead to.
    pub fn link_targets(&self, contents: &[PathBuf]) -> Result<BTreeSet<StorePath>, ImageError> {
        let mut targets = BTreeSet::new();
        self.add_targets(&tree::linked(self.objects, contents)?, &mut targets);
        Ok(targets)
    }

    fn add_targets(&self, directory: &Directory, targets: &mut BTreeSet<StorePath>) {
        for node in directory.values() {
            match node {
                Node::Directory(children) => self.add_targets(children, targets),
                Node::Symlink(target) => targets.extend(self.named_in(&String::from_utf8_lossy(target))),
                Node::File { .. } => {}
            }
        }
    }

    /// Everything that the objects need, by name and hash, with what the store knows of it.
    pub fn closure(&self, roots: &BTreeSet<StorePath>) -> Result<Vec<PathInfo>, ImageError> {
        let roots: Vec<_> = roots.iter().cloned().collect();
        let closure = self.store.closure(&roots)?;
        let mut infos = closure.iter().map(|path| self.info(path)).collect::<Result<Vec<_>, _>>()?;
        infos.sort_by(|a, b| (a.path.name(), a.path.hash_part()).cmp(&(b.path.name(), b.path.hash_part())));
        Ok(infos)
    }

    fn info(&self, path: &StorePath) -> Result<PathInfo, ImageError> {
        Ok(self.store.require(path)?)
    }

    /// What decides the bytes of a layer besides its recipe: the content of all that it may read. And the size of that.
    fn content(&self, pack: &Pack) -> Result<(Vec<String>, u64), ImageError> {
        let mut read: BTreeSet<StorePath> = pack.objects.iter().cloned().collect();
        let head: Vec<_> = pack.head.paths().iter().map(|path| object_of(path)).collect::<Result<_, _>>()?;
        if !head.is_empty() {
            read.extend(self.store.closure(&head)?);
        }
        let infos = read.iter().map(|path| self.info(path)).collect::<Result<Vec<_>, _>>()?;
        let described = infos.iter().map(|info| format!("{} {}", info.path, info.nar_hash)).collect();
        Ok((described, infos.iter().map(|info| info.nar_size).sum()))
    }

    /// Packs the recipes on all cores, the largest first so that no core is left with one at the end, to learn the digests
    /// of those that the cache does not know. Their blobs may go to a sink on the way.
    pub fn pack(
        &self,
        packs: Vec<Pack>,
        cache: &LayerCache,
        to: Option<Destination<'_>>,
        task: &Task<'_>,
    ) -> Result<Vec<Layer>, ImageError> {
        let contents = packs.iter().map(|pack| self.content(pack)).collect::<Result<Vec<_>, _>>()?;
        let layers: Vec<Mutex<Option<Result<Layer, ImageError>>>> = packs.iter().map(|_| Mutex::new(None)).collect();
        let work = packs.into_iter().zip(contents).enumerate();
        let mut work: Vec<_> = work.map(|(index, (pack, (content, size)))| (size, index, pack, content)).collect();
        work.sort_by_key(|(size, index, ..)| (Reverse(*size), *index));
        let next = AtomicUsize::new(0);
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        // Servers keep waiting, so objects that come from them are not one for each processor.
        let threads = if self.objects.may_be_elsewhere() { PACKED_AT_ONCE } else { processors.min(PACKED_AT_ONCE) };
        let threads = threads.min(work.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((_, index, pack, content)) = take(&next, &work) {
                        let layer = Layer::from_pack(pack.clone(), self.objects, content, cache, to);
                        if let Ok(layer) = &layer {
                            task.advance(layer.tar_size().unwrap_or(0));
                        }
                        *layers[*index].lock().expect("no thread panics with the lock") = Some(layer);
                    }
                });
            }
        });
        let layers = layers.into_iter().map(|slot| slot.into_inner().expect("no thread panics with the lock"));
        layers.map(|layer| layer.expect("every index was taken")).collect()
    }
}

fn take<'a, T>(next: &AtomicUsize, work: &'a [T]) -> Option<&'a T> {
    work.get(next.fetch_add(1, Ordering::Relaxed))
}

/// The store object that a path is in.
pub(crate) fn object_of(path: &Path) -> Result<StorePath, ImageError> {
    let (object, _) = StorePath::split_absolute(path.as_os_str().as_encoded_bytes())
        .map_err(|error| ImageError::Definition(format!("{}: {error}", path.display())))?;
    Ok(object)
}
