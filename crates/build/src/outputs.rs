//! From what a builder has made to store objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::{Output, OutputName};
use nix_formats::hash::{Hash, HashAlgo, Hasher};
use nix_formats::store_path::StorePath;
use store::fs_nar::{self, NarSink, Tee, TreeError, TreeSink};
use store::{LocalStore, PathInfo, Store};

use crate::difference::differences;
use crate::error::BuildError;
use crate::job::Job;
use crate::references::ReferenceScanner;

/// Gives the outputs canonical metadata and finds out everything that is to be registered, reading each byte once.
pub(crate) fn examine(
    job: &Job<'_>,
    made: &BTreeMap<OutputName, PathBuf>,
) -> Result<BTreeMap<OutputName, PathInfo>, BuildError> {
    let mut infos = BTreeMap::new();
    for (name, path) in made {
        infos.insert(name.clone(), examine_one(job, name, path)?);
    }
    refuse_cycle(job, &infos)?;
    Ok(infos)
}

/// No order would do to register, copy or delete outputs that need each other.
fn refuse_cycle(job: &Job<'_>, infos: &BTreeMap<OutputName, PathInfo>) -> Result<(), BuildError> {
    let mut open: BTreeMap<&StorePath, &PathInfo> = infos.values().map(|info| (&info.path, info)).collect();
    let needs_open = |open: &BTreeMap<&StorePath, &PathInfo>, info: &PathInfo| {
        info.references.iter().any(|path| *path != info.path && open.contains_key(path))
    };
    while let Some(path) = open.iter().find(|(_, info)| !needs_open(&open, info)).map(|(path, _)| *path) {
        open.remove(path);
    }
    match infos.iter().find(|(_, info)| open.contains_key(&info.path)) {
        Some((name, _)) => Err(job.reject(name, "it and another output of the derivation refer to each other")),
        None => Ok(()),
    }
}

/// Gives what a builder has left at `path` canonical metadata; what it had before.
pub(crate) fn take_over(job: &Job<'_>, name: &str, path: &Path) -> Result<fs::Metadata, BuildError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let output = job.node.outputs[name].to_absolute();
            return Err(job.reject(name, format!("the builder did not make '{output}'")));
        }
        Err(error) => return Err(BuildError::file("examine", path)(error)),
    };
    // Somebody else could have written to it.
    if !metadata.is_symlink() && metadata.permissions().mode() & 0o022 != 0 {
        return Err(job.reject(name, "it is writable for its group or for everybody; the builder must not allow that"));
    }
    fs_nar::canonicalise(path).map_err(|source| BuildError::Tree {
        derivation: job.node.path.clone(),
        output: name.to_owned(),
        source,
    })?;
    Ok(metadata)
}

fn examine_one(job: &Job<'_>, name: &str, path: &Path) -> Result<PathInfo, BuildError> {
    let output = &job.node.outputs[name];
    let metadata = take_over(job, name, path)?;
    let tree_error = |source| BuildError::Tree { derivation: job.node.path.clone(), output: name.to_owned(), source };
    let fixed = match &job.node.derivation.outputs[name] {
        Output::Fixed(address) => Some(address),
        _ => None,
    };
    if let Some(address) = fixed {
        check_form(job, name, address.method, &metadata)?;
    }
    let measured = measure(job, name, path, fixed).map_err(tree_error)?;
    let mut info = PathInfo::new(output.clone(), measured.nar_hash, measured.nar_size);
    info.references = measured.references;
    info.deriver = Some(job.node.path.clone());
    info.ultimate = true;
    if let Some(address) = fixed {
        check_content(job, name, address, &measured.content_hash.unwrap_or(measured.nar_hash), &info)?;
        info.content_address = Some(*address);
    }
    Ok(info)
}

/// A flat output is one file.
pub(crate) fn check_form(job: &Job<'_>, name: &str, method: Method, metadata: &fs::Metadata) -> Result<(), BuildError> {
    match method {
        Method::Nar => Ok(()),
        Method::Git => Err(job.reject(name, "outputs that are hashed as git trees cannot be checked")),
        Method::Flat | Method::Text if metadata.is_file() && metadata.permissions().mode() & 0o100 == 0 => Ok(()),
        Method::Flat | Method::Text => {
            Err(job
                .reject(name, "it should be a regular file that is not executable, since outputHashMode is \"flat\""))
        }
    }
}

pub(crate) fn check_content(
    job: &Job<'_>,
    name: &str,
    address: &ContentAddress,
    got: &Hash,
    info: &PathInfo,
) -> Result<(), BuildError> {
    if address.hash != *got {
        return Err(BuildError::HashMismatch {
            derivation: job.node.path.clone(),
            specified: Box::new(address.hash),
            got: Box::new(*got),
        });
    }
    match info.references.first() {
        Some(first) if address.method != Method::Text => Err(job.reject(
            name,
            format!("a fixed output must not refer to store paths, but it refers to '{}'", first.to_absolute()),
        )),
        _ => Ok(()),
    }
}

/// What one reading of an output has shown.
struct Measured {
    nar_hash: Hash,
    nar_size: u64,
    /// The hash by which a fixed output is checked, unless it is the NAR's SHA-256.
    content_hash: Option<Hash>,
    references: BTreeSet<StorePath>,
}

fn measure(job: &Job<'_>, name: &str, path: &Path, fixed: Option<&ContentAddress>) -> Result<Measured, TreeError> {
    let unscanned = job.rules.unscanned.contains(name);
    let candidates = job.inputs.iter().chain(job.node.outputs.values()).filter(|_| !unscanned);
    let meter = Meter {
        nar: Hasher::new(HashAlgo::Sha256),
        size: 0,
        other: match fixed {
            Some(address) if address.method == Method::Nar && address.hash.algo() != HashAlgo::Sha256 => {
                Some(Hasher::new(address.hash.algo()))
            }
            _ => None,
        },
        scanner: ReferenceScanner::new(candidates),
    };
    let mut nar = NarSink::new(io::BufWriter::with_capacity(1 << 16, meter))?;
    let mut content = fixed
        .filter(|address| address.method != Method::Nar)
        .map(|address| ContentHasher(Hasher::new(address.hash.algo())));
    match &mut content {
        Some(content) => fs_nar::walk(path, &mut fs_nar::everything, &mut Tee(&mut nar, content))?,
        None => fs_nar::walk(path, &mut fs_nar::everything, &mut nar)?,
    }
    let meter = nar.finish()?.into_inner().map_err(|error| {
        // The meter itself cannot fail.
        TreeError::Nar(nix_formats::nar::NarError::Io(error.into_error()))
    })?;
    Ok(Measured {
        nar_hash: meter.nar.finish(),
        nar_size: meter.size,
        content_hash: content.map(|content| content.0.finish()).or(meter.other.map(Hasher::finish)),
        references: meter.scanner.found(),
    })
}

/// Takes a NAR: its hash, its size, the references in it, and a second hash where one is asked for.
struct Meter {
    nar: Hasher,
    size: u64,
    other: Option<Hasher>,
    scanner: ReferenceScanner,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.nar.update(bytes);
        if let Some(other) = &mut self.other {
            other.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.scanner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes the bytes of the one file that a flat output is.
struct ContentHasher(Hasher);

impl TreeSink for ContentHasher {
    fn open_directory(&mut self) -> Result<(), TreeError> {
        Ok(())
    }
    fn entry(&mut self, _: &[u8]) -> Result<(), TreeError> {
        Ok(())
    }
    fn close_directory(&mut self) -> Result<(), TreeError> {
        Ok(())
    }
    fn symlink(&mut self, _: &[u8]) -> Result<(), TreeError> {
        Ok(())
    }
    fn open_file(&mut self, _: bool, _: u64) -> Result<(), TreeError> {
        Ok(())
    }
    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.0.update(bytes);
        Ok(())
    }
    fn close_file(&mut self) -> Result<(), TreeError> {
        Ok(())
    }
}

/// Moves the missing outputs to their places and registers them, all or none.
pub(crate) fn install(
    job: &Job<'_>,
    made: &BTreeMap<OutputName, PathBuf>,
    infos: BTreeMap<OutputName, PathInfo>,
    missing: &BTreeSet<OutputName>,
    store: &LocalStore,
) -> Result<(), BuildError> {
    let mut registered = Vec::new();
    for (name, info) in infos.into_iter().filter(|(name, _)| missing.contains(name)) {
        let (staged, place) = (&made[&name], store.real_path(&info.path));
        registered.push(info);
        if *staged == place {
            continue;
        }
        // Left by a process that died before it could register it.
        fs_nar::remove(&place).map_err(|source| BuildError::Tree {
            derivation: job.node.path.clone(),
            output: name.clone(),
            source,
        })?;
        move_tree(staged, &place).map_err(BuildError::file("move the output to", &place))?;
    }
    Ok(store.register(&registered)?)
}

/// Compares what was built again with what is in the store.
pub(crate) fn compare(
    job: &Job<'_>,
    made: &BTreeMap<OutputName, PathBuf>,
    infos: &BTreeMap<OutputName, PathInfo>,
) -> Result<(), BuildError> {
    let store = &*job.place.store;
    for (name, info) in infos {
        if store.require(&info.path)?.nar_hash == info.nar_hash {
            continue;
        }
        let registered = store.real_path(&info.path);
        let mut rebuilt = registered.clone().into_os_string();
        rebuilt.push(".check");
        let rebuilt = PathBuf::from(rebuilt);
        fs_nar::remove(&rebuilt).map_err(|source| BuildError::Tree {
            derivation: job.node.path.clone(),
            output: name.clone(),
            source,
        })?;
        move_tree(&made[name], &rebuilt).map_err(BuildError::file("move the output to", &rebuilt))?;
        let differences =
            differences(&registered, &rebuilt).map_err(BuildError::file("compare the output with", &rebuilt))?;
        return Err(BuildError::NotDeterministic {
            derivation: job.node.path.clone(),
            output: name.clone(),
            registered,
            rebuilt,
            differences,
        });
    }
    Ok(())
}

/// Renames a tree with canonical modes. A directory gets a new parent, so the kernel wants it writable for its owner.
pub(crate) fn move_tree(from: &Path, to: &Path) -> io::Result<()> {
    let directory = from.symlink_metadata()?.is_dir();
    if directory {
        fs::set_permissions(from, fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(from, to)?;
    if directory {
        fs::set_permissions(to, fs::Permissions::from_mode(0o555))?;
    }
    Ok(())
}
