//! Outputs whose paths follow from what they hold.
//!
//! A builder is given a path that stands for the one that nobody knows yet. Once it is done, every mention of such a path
//! is replaced by the real one, which for an object that mentions itself is found by its hash modulo self-references.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::OutputName;
use nix_formats::hash::{Hash, HashAlgo, Hasher};
use nix_formats::self_hash::{Places, SelfHasher};
use nix_formats::store_path::StorePath;
use store::PathInfo;
use store::fs_nar::{self, TreeError};

use crate::error::BuildError;
use crate::references::ReferenceScanner;
use crate::rewrite::{Replacement, Rewriter};

/// An output that is made.
pub(crate) struct Made {
    /// The path by which it and others mention it.
    pub stand_in: StorePath,
    /// Where it is, with canonical metadata.
    pub real: PathBuf,
    /// How its content is hashed.
    pub method: Method,
    pub algo: HashAlgo,
    /// What it may refer to, beside the outputs; nothing is looked for where there is nothing.
    pub candidates: BTreeSet<StorePath>,
}

/// An output with the path that follows from its content.
pub(crate) struct Addressed {
    pub info: PathInfo,
    real: PathBuf,
    replacements: Vec<Replacement>,
}

impl Addressed {
    /// The tree that was made, if it is the object as it is.
    pub fn unchanged(&self) -> Option<&Path> {
        self.replacements.is_empty().then_some(&self.real)
    }

    /// Writes the object's NAR.
    pub fn write_nar(&self, out: impl Write) -> Result<(), TreeError> {
        dump(&self.real, out, &self.replacements).map(drop)
    }
}

/// Finds the paths of all outputs of a derivation.
pub(crate) fn address(
    derivation: &StorePath,
    made: &BTreeMap<OutputName, Made>,
    places: Places,
) -> Result<BTreeMap<OutputName, Addressed>, BuildError> {
    let stand_ins: BTreeMap<&StorePath, &OutputName> = made.iter().map(|(name, one)| (&one.stand_in, name)).collect();
    let mut scanned = BTreeMap::new();
    for (name, one) in made {
        let found = scan(one, stand_ins.keys().copied()).map_err(in_tree(derivation, name))?;
        scanned.insert(name, found);
    }
    let mut addressed: BTreeMap<OutputName, Addressed> = BTreeMap::new();
    while let Some(name) = next(&scanned, &stand_ins) {
        let Some(scanned) = scanned.remove(&name) else { break };
        let others = stand_ins.iter().filter_map(|(stand_in, other)| {
            let info = &addressed.get(*other)?.info;
            Some(((*stand_in).clone(), info.path.clone()))
        });
        let known: BTreeMap<StorePath, StorePath> = others.collect();
        let one = address_one(derivation, &name, &made[&name], scanned, &known, places)?;
        addressed.insert(name, one);
    }
    match scanned.keys().next() {
        Some(name) => Err(BuildError::Output {
            derivation: derivation.clone(),
            output: (*name).clone(),
            problem: "it and another output of the derivation refer to each other".to_owned(),
        }),
        None => Ok(addressed),
    }
}

/// An output that mentions no other whose path is not found yet.
fn next(scanned: &BTreeMap<&OutputName, Scanned>, stand_ins: &BTreeMap<&StorePath, &OutputName>) -> Option<OutputName> {
    let waits = |name: &OutputName, one: &Scanned| {
        let others = one.references.iter().filter_map(|path| stand_ins.get(path)).filter(|other| **other != name);
        others.into_iter().any(|other| scanned.contains_key(other))
    };
    scanned.iter().find(|(name, one)| !waits(name, one)).map(|(name, _)| (*name).clone())
}

/// What one reading has shown.
struct Scanned {
    references: BTreeSet<StorePath>,
    nar_hash: Hash,
    nar_size: u64,
}

fn scan<'a>(made: &'a Made, stand_ins: impl Iterator<Item = &'a StorePath>) -> Result<Scanned, TreeError> {
    let scanner = ReferenceScanner::new(made.candidates.iter().chain(stand_ins));
    let meter = Meter { hasher: Hasher::new(HashAlgo::Sha256), size: 0, scanner: Some(scanner) };
    let meter = dump(&made.real, io::BufWriter::with_capacity(1 << 16, meter), &[])?.into_inner();
    let meter = meter.map_err(|error| nix_formats::nar::NarError::Io(error.into_error()))?;
    let references = meter.scanner.map(ReferenceScanner::found).unwrap_or_default();
    Ok(Scanned { references, nar_hash: meter.hasher.finish(), nar_size: meter.size })
}

fn address_one(
    derivation: &StorePath,
    name: &OutputName,
    made: &Made,
    scanned: Scanned,
    known: &BTreeMap<StorePath, StorePath>,
    places: Places,
) -> Result<Addressed, BuildError> {
    let in_tree = |error| in_tree(derivation, name)(error);
    let mut replacements: Vec<Replacement> = Vec::new();
    let mut references = BTreeSet::new();
    let mut mentions_itself = false;
    for path in scanned.references {
        match known.get(&path) {
            Some(found) => {
                replacements.extend(replacement(&path, found));
                references.insert(found.clone());
            }
            None if path == made.stand_in => mentions_itself = true,
            None => drop(references.insert(path)),
        }
    }
    let plain = replacements.is_empty() && !mentions_itself;
    let hash = match (made.method, made.algo) {
        (Method::Nar, HashAlgo::Sha256) if plain => scanned.nar_hash,
        _ => content_hash(made, &replacements, places).map_err(in_tree)?,
    };
    let address = ContentAddress { method: made.method, hash };
    let path = address.store_path(made.stand_in.name(), &references, mentions_itself).map_err(|error| {
        BuildError::Output { derivation: derivation.clone(), output: name.clone(), problem: error.to_string() }
    })?;
    if mentions_itself {
        replacements.extend(replacement(&made.stand_in, &path));
        references.insert(path.clone());
    }
    let nar_hash = match replacements.is_empty() {
        true => scanned.nar_hash,
        false => {
            let meter = Meter { hasher: Hasher::new(HashAlgo::Sha256), size: 0, scanner: None };
            dump(&made.real, meter, &replacements).map_err(in_tree)?.hasher.finish()
        }
    };
    let mut info = PathInfo::new(path, nar_hash, scanned.nar_size);
    info.references = references;
    info.content_address = Some(address);
    info.deriver = Some(derivation.clone());
    Ok(Addressed { info, real: made.real.clone(), replacements })
}

/// The hash that the path follows from.
fn content_hash(made: &Made, replacements: &[Replacement], places: Places) -> Result<Hash, TreeError> {
    let hasher = SelfHasher::new(made.algo, made.stand_in.hash_part());
    match made.method {
        Method::Flat | Method::Text => {
            let mut rewriter = Rewriter::new(hasher, replacements);
            let failed = |source| TreeError::Io { action: "read", path: made.real.clone(), source };
            if !made.real.symlink_metadata().map_err(failed)?.is_file() {
                return Err(TreeError::NotRegular { path: made.real.clone() });
            }
            let mut file = std::fs::File::open(&made.real).map_err(failed)?;
            io::copy(&mut file, &mut rewriter).map_err(failed)?;
            Ok(rewriter.finish().map_err(failed)?.finish_as(places))
        }
        Method::Nar => Ok(dump(&made.real, hasher, replacements)?.finish_as(places)),
        Method::Git => Err(TreeError::Io {
            action: "hash as a git tree",
            path: made.real.clone(),
            source: io::ErrorKind::Unsupported.into(),
        }),
    }
}

fn dump<W: Write>(real: &Path, out: W, replacements: &[Replacement]) -> Result<W, TreeError> {
    let rewriter = fs_nar::dump(real, &mut fs_nar::everything, Rewriter::new(out, replacements))?;
    Ok(rewriter.finish().map_err(nix_formats::nar::NarError::Io)?)
}

fn replacement(from: &StorePath, to: &StorePath) -> Option<Replacement> {
    let part = |path: &StorePath| path.hash_part().as_bytes().try_into().ok();
    Some((part(from)?, part(to)?))
}

fn in_tree(derivation: &StorePath, output: &OutputName) -> impl FnOnce(TreeError) -> BuildError {
    move |source| BuildError::Tree { derivation: derivation.clone(), output: output.clone(), source }
}

/// Takes bytes: their hash, how many there are, and what they refer to.
struct Meter {
    hasher: Hasher,
    size: u64,
    scanner: Option<ReferenceScanner>,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if let Some(scanner) = &mut self.scanner {
            scanner.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
