//! Objects that are not on this machine: their NARs pass by, and what is at an image's root is looked up in outlines of them.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix_formats::store_path::StorePath;
use store::Store;
use store::fs_nar::{Restorer, TreeError, TreeSink, replay};

use crate::error::{ImageError, io_error};
use crate::stream::BlobReader;

const BUFFER: usize = 256 << 10;

/// What an outline has of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outline {
    /// Names and links: enough to make links to them.
    Names,
    /// Their content too, to make copies of them.
    Whole,
}

/// A store that gives NARs of objects, and a directory for outlines.
pub(crate) struct Elsewhere {
    store: Arc<dyn Store>,
    directory: PathBuf,
    outline: Outline,
    made: Mutex<BTreeSet<StorePath>>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Elsewhere {
    pub fn new(store: Arc<dyn Store>, directory: &Path, outline: Outline) -> Self {
        Self { store, directory: directory.to_owned(), outline, made: Mutex::default() }
    }

    /// Where an object's outline is, which is made if need be; `None` for an object that is nowhere.
    pub fn outline(&self, object: &StorePath) -> Result<Option<PathBuf>, ImageError> {
        let place = self.directory.join(object.base_name());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(object) {
            if !self.store.is_valid(object)? {
                return Ok(None);
            }
            let failed = || format!("cannot read {}", object.to_absolute());
            let mut tree = Sketch { out: Restorer::new(&place).map_err(tree_error(failed()))?, outline: self.outline };
            let mut nar = self.nar(object);
            replay(&mut nar, &mut tree).map_err(tree_error(failed()))?;
            tree.out.finish().map_err(tree_error(failed()))?;
            end(nar).map_err(io_error(failed()))?;
            made.insert(object.clone());
        }
        Ok(Some(place))
    }

    /// An object's NAR; an error follows its last byte if it is not what it should be.
    pub fn nar(&self, object: &StorePath) -> BufReader<BlobReader> {
        let (store, object) = (Arc::clone(&self.store), object.clone());
        let reader = BlobReader::spawn(move |mut out| Ok(store.write_nar(&object, &mut out)?));
        BufReader::with_capacity(BUFFER, reader)
    }
}

/// Reads what follows a NAR: nothing, or why it is not to be trusted.
pub(crate) fn end(mut nar: impl io::Read) -> io::Result<()> {
    io::copy(&mut nar, &mut io::sink()).map(drop)
}

fn tree_error(action: String) -> impl FnOnce(TreeError) -> ImageError {
    move |error| io_error(action)(io::Error::other(error))
}

/// Writes a tree as an outline.
struct Sketch {
    out: Restorer,
    outline: Outline,
}

impl TreeSink for Sketch {
    fn open_directory(&mut self) -> Result<(), TreeError> {
        self.out.open_directory()
    }

    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError> {
        self.out.entry(name)
    }

    fn close_directory(&mut self) -> Result<(), TreeError> {
        self.out.close_directory()
    }

    fn symlink(&mut self, target: &[u8]) -> Result<(), TreeError> {
        self.out.symlink(target)
    }

    fn open_file(&mut self, executable: bool, size: u64) -> Result<(), TreeError> {
        self.out.open_file(executable, if self.outline == Outline::Whole { size } else { 0 })
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        if self.outline == Outline::Whole { self.out.content(bytes) } else { Ok(()) }
    }

    fn close_file(&mut self) -> Result<(), TreeError> {
        self.out.close_file()
    }
}
