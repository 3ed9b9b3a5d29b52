//! Adding objects: texts, trees, NARs, and what a builder has left in staging.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::hash::{Hash, HashAlgo, HashWriter, Hasher};
use nix_formats::nar::NarError;
use nix_formats::self_hash::SelfHasher;
use nix_formats::store_path::{self, StorePath};

use super::{LocalStore, PathLocks};
use crate::fs_nar::{self, FileKind, Filter, FilterStopped, NarSink, Restorer, Tee, TreeError, TreeSink};
use crate::{PathInfo, Store, StoreError};

/// What a tree hashes to: the content's hash, and for the database that of its NAR, if it is another.
struct Measured {
    address: ContentAddress,
    /// What the filter refused, so that it is not asked twice: it may be an expression that is slow to evaluate.
    refused: HashSet<PathBuf>,
}

impl LocalStore {
    pub(super) fn add_text_object(
        &self,
        name: &str,
        content: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath, StoreError> {
        let hash = Hash::of(HashAlgo::Sha256, content);
        let path = store_path::text_path_from_hash(name, &hash, references)?;
        self.add_missing(&path, |staged| {
            put_file(&mut Restorer::new(staged)?, content)?;
            let mut nar = NarSink::new(HashWriter::new(HashAlgo::Sha256, io::sink()))?;
            put_file(&mut nar, content)?;
            let (nar_hash, nar_size, _) = nar.finish()?.finish();
            let mut info = PathInfo::new(path.clone(), nar_hash, nar_size);
            info.references.clone_from(references);
            info.content_address = Some(ContentAddress { method: Method::Text, hash });
            Ok(info)
        })?;
        Ok(path)
    }

    pub(super) fn add_source(
        &self,
        name: &str,
        source: &Path,
        method: Method,
        algo: HashAlgo,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath, StoreError> {
        let measured = match method {
            Method::Nar => measure_tree(source, algo, filter)?,
            Method::Flat | Method::Text => measure_file(source, method, algo)?,
            Method::Git => return Err(StoreError::UnsupportedMethod { name: name.to_owned(), method: "git" }),
        };
        let path = measured.address.store_path(name, [], false)?;
        self.add_missing(&path, |staged| {
            let (nar_hash, nar_size) = if method == Method::Nar {
                copy_tree(source, staged, &measured.refused)?
            } else {
                copy_file(source, staged)?
            };
            let mut info = PathInfo::new(path.clone(), nar_hash, nar_size);
            info.content_address = Some(measured.address);
            let unchanged = match (method, algo) {
                (Method::Nar, HashAlgo::Sha256) => nar_hash == measured.address.hash,
                _ => self.content_hashes(staged, &info)?.contains(&measured.address.hash),
            };
            if !unchanged {
                return Err(TreeError::Changed { path: source.to_owned() }.into());
            }
            Ok(info)
        })?;
        Ok(path)
    }

    pub(super) fn add_from_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError> {
        check_address_gives_path(info)?;
        self.add_missing(&info.path, |staged| self.unpack_whole(info, nar, staged))
    }

    /// Writes the tree that a NAR holds, and compares all that is said of it.
    pub(super) fn unpack_whole(
        &self,
        info: &PathInfo,
        nar: &mut dyn Read,
        staged: &Path,
    ) -> Result<PathInfo, StoreError> {
        let size = unpack(info, nar, staged)?;
        if let Some(address) = info.content_address.filter(|address| !is_nar_hash(address, info)) {
            let hashes = self.content_hashes(staged, info)?;
            if !hashes.contains(&address.hash) {
                check_hash(&info.path, address.hash, hashes[0])?;
            }
        }
        Ok(PathInfo { nar_size: size, ..info.clone() })
    }

    /// Moves objects that a builder has made to their places, and registers them together.
    ///
    /// Each comes with the tree that it is to be, which must lie in the store's file system ([`LocalStore::staging`])
    /// and have canonical metadata ([`fs_nar::canonicalise`]). The caller holds the paths locked. An object that is
    /// valid already is left as it is, and the tree with it.
    pub fn install(&self, locks: &PathLocks, objects: &[(PathBuf, PathInfo)]) -> Result<(), StoreError> {
        let mut new = Vec::new();
        for (tree, info) in objects {
            assert!(locks.hold(&info.path), "{} must be locked to be installed", info.path);
            check_address_gives_path(info)?;
            if self.is_valid(&info.path)? {
                continue;
            }
            let place = self.real_path(&info.path);
            fs_nar::remove(&place)?;
            move_object(tree, &place)?;
            new.push(info.clone());
        }
        self.register(&new)
    }

    /// Does what every way of adding has in common: the path is kept from collection, made only if it is not valid,
    /// made by one process at a time, moved and registered. `make` is given where to make it.
    fn add_missing(
        &self,
        path: &StorePath,
        make: impl FnOnce(&Path) -> Result<PathInfo, StoreError>,
    ) -> Result<(), StoreError> {
        self.add_temp_root(path)?;
        if self.is_valid(path)? {
            return Ok(());
        }
        let locks = self.lock(std::slice::from_ref(path))?;
        if self.is_valid(path)? {
            return Ok(());
        }
        let staged = self.scratch()?;
        let made = make(&staged).and_then(|info| self.install(&locks, &[(staged.clone(), info)]));
        if made.is_err() {
            // What cannot be deleted now is when the store is opened again.
            let _ = fs_nar::remove(&staged);
        }
        made
    }

    /// The hash that the object's content address is about, of the tree at `tree`, as one and as other versions of Nix
    /// have it.
    fn content_hashes(&self, tree: &Path, info: &PathInfo) -> Result<[Hash; 2], StoreError> {
        let Some(ContentAddress { method, hash }) = info.content_address else { return Ok([info.nar_hash; 2]) };
        match method {
            Method::Text | Method::Flat => Ok([hash_file(tree, hash.algo())?; 2]),
            Method::Nar => {
                let hasher = SelfHasher::new(hash.algo(), info.path.hash_part());
                Ok(fs_nar::dump(tree, &mut fs_nar::everything, hasher)?.finish_both())
            }
            Method::Git => Err(StoreError::UnsupportedMethod { name: info.path.name().to_owned(), method: "git" }),
        }
    }
}

/// Writes the tree that a NAR holds, which must have the hash and the size of the object, if that is known; the size.
pub(super) fn unpack(info: &PathInfo, nar: &mut dyn Read, destination: &Path) -> Result<u64, StoreError> {
    let mut nar = nar.take(if info.nar_size == 0 { u64::MAX } else { info.nar_size });
    let mut hashing = NarSink::new(HashWriter::new(HashAlgo::Sha256, io::sink()))?;
    let mut restorer = Restorer::new(destination)?;
    // Contents pass by this buffer, which is smaller than theirs.
    let buffered = BufReader::with_capacity(32 * 1024, &mut nar);
    match fs_nar::replay(buffered, &mut Tee(&mut hashing, &mut restorer)) {
        Err(TreeError::Nar(NarError::Truncated { .. })) if nar.limit() == 0 => {
            return Err(StoreError::TooLarge { path: info.path.clone(), expected: info.nar_size });
        }
        other => other?,
    }
    let (hash, size, _) = hashing.finish()?.finish();
    if info.nar_size != 0 && size != info.nar_size {
        return Err(StoreError::SizeMismatch { path: info.path.clone(), expected: info.nar_size, actual: size });
    }
    check_hash(&info.path, info.nar_hash, hash)?;
    Ok(size)
}

/// Whether the content's hash is the NAR's, which has been compared: a tree that does not mention itself.
fn is_nar_hash(address: &ContentAddress, info: &PathInfo) -> bool {
    address.method == Method::Nar && address.hash == info.nar_hash && !info.references.contains(&info.path)
}

fn measure_tree(source: &Path, algo: HashAlgo, filter: &mut Filter<'_>) -> Result<Measured, StoreError> {
    let mut refused = HashSet::new();
    let mut recording = |path: &Path, kind: FileKind| -> Result<bool, FilterStopped> {
        let taken = filter(path, kind)?;
        if !taken {
            refused.insert(path.to_owned());
        }
        Ok(taken)
    };
    let (hash, _) = fs_nar::hash(source, &mut recording, algo)?;
    Ok(Measured { address: ContentAddress { method: Method::Nar, hash }, refused })
}

fn measure_file(source: &Path, method: Method, algo: HashAlgo) -> Result<Measured, StoreError> {
    let hash = hash_file(source, algo)?;
    Ok(Measured { address: ContentAddress { method, hash }, refused: HashSet::new() })
}

fn hash_file(path: &Path, algo: HashAlgo) -> Result<Hash, StoreError> {
    let mut hasher = Hasher::new(algo);
    io::copy(&mut open_regular(path)?, &mut hasher).map_err(StoreError::io("read", path))?;
    Ok(hasher.finish())
}

fn copy_tree(source: &Path, staged: &Path, refused: &HashSet<PathBuf>) -> Result<(Hash, u64), StoreError> {
    let mut hashing = NarSink::new(HashWriter::new(HashAlgo::Sha256, io::sink()))?;
    let mut restorer = Restorer::new(staged)?;
    let mut filter = |path: &Path, _| Ok(!refused.contains(path));
    fs_nar::walk(source, &mut filter, &mut Tee(&mut hashing, &mut restorer))?;
    let (hash, size, _) = hashing.finish()?.finish();
    Ok((hash, size))
}

/// Copies a regular file as one that is not executable.
fn copy_file(source: &Path, staged: &Path) -> Result<(Hash, u64), StoreError> {
    let mut file = open_regular(source)?;
    let mut hashing = NarSink::new(HashWriter::new(HashAlgo::Sha256, io::sink()))?;
    let mut restorer = Restorer::new(staged)?;
    let mut both = Tee(&mut hashing, &mut restorer);
    let size = file.metadata().map_err(StoreError::io("read", source))?.len();
    both.open_file(false, size)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).map_err(StoreError::io("read", source))? {
            0 => break,
            count => both.content(&buffer[..count])?,
        }
    }
    both.close_file()?;
    let (hash, size, _) = hashing.finish()?.finish();
    Ok((hash, size))
}

fn open_regular(path: &Path) -> Result<File, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    if !file.metadata().map_err(StoreError::io("read", path))?.is_file() {
        return Err(TreeError::NotRegular { path: path.to_owned() }.into());
    }
    Ok(file)
}

fn put_file(sink: &mut impl TreeSink, content: &[u8]) -> Result<(), TreeError> {
    sink.open_file(false, content.len() as u64)?;
    sink.content(content)?;
    sink.close_file()
}

/// Renames an object within the store's file system. A directory's own mode must allow writing for that, since its
/// `..` changes.
pub(super) fn move_object(from: &Path, to: &Path) -> Result<(), StoreError> {
    let metadata = from.symlink_metadata().map_err(StoreError::io("read", from))?;
    if !metadata.is_dir() {
        return fs::rename(from, to).map_err(StoreError::io("move to its place", to));
    }
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(StoreError::io("set the mode of", path))
    };
    set_mode(from, 0o755)?;
    fs::rename(from, to).map_err(StoreError::io("move to its place", to))?;
    set_mode(to, 0o555)
}

fn check_hash(path: &StorePath, expected: Hash, actual: Hash) -> Result<(), StoreError> {
    if expected == actual {
        return Ok(());
    }
    Err(StoreError::HashMismatch { path: path.clone(), expected: expected.into(), actual: actual.into() })
}

fn check_address_gives_path(info: &PathInfo) -> Result<(), StoreError> {
    let Some(address) = info.content_address else { return Ok(()) };
    let refers_to_itself = info.references.contains(&info.path);
    let others = info.references.iter().filter(|reference| **reference != info.path);
    let computed = address.store_path(info.path.name(), others, refers_to_itself)?;
    if computed == info.path {
        return Ok(());
    }
    Err(StoreError::WrongContentAddress { path: info.path.clone(), computed })
}
