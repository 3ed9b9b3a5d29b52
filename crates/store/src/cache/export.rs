//! Making a binary cache in a directory.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use nix_formats::STORE_DIR;
use nix_formats::hash::{HashAlgo, HashWriter};
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use tempfile::NamedTempFile;

use super::compression::compress;
use crate::fs_nar::{self, TreeError};
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{PathInfo, Store, StoreError};

/// How to export.
pub struct ExportOptions<'a> {
    /// How NARs are compressed.
    pub compression: Compression,
    /// Signs every object.
    pub key: Option<&'a SecretKey>,
}

/// Writes objects and all that they refer to into the cache in `directory`, which is made if it is not there; returns
/// what was written. What the cache has already is left.
pub fn export(
    store: &dyn Store,
    paths: &[StorePath],
    directory: &Path,
    options: &ExportOptions<'_>,
    progress: &dyn Progress,
) -> Result<Vec<StorePath>, StoreError> {
    let nars = directory.join("nar");
    fs::create_dir_all(&nars).map_err(StoreError::io("create directory", &nars))?;
    let info = directory.join("nix-cache-info");
    if !info.exists() {
        write_file(&info, &format!("StoreDir: {STORE_DIR}\nWantMassQuery: 1\nPriority: 30\n"))?;
    }
    let mut written = Vec::new();
    for path in store.closure(paths)? {
        let file = directory.join(format!("{}.narinfo", path.hash_part()));
        if file.exists() {
            continue;
        }
        let known = store.require(&path)?;
        let task = Task::start(progress, Activity::Copy, path.name(), Some(known.nar_size));
        let info = write_nar(store, &known, directory, options)?;
        // The narinfo comes last: it says that the NAR is there.
        write_file(&file, &info.to_string())?;
        task.advance(known.nar_size);
        task.finish(Outcome::Done);
        written.push(path);
    }
    Ok(written)
}

fn write_nar(
    store: &dyn Store,
    known: &PathInfo,
    directory: &Path,
    options: &ExportOptions<'_>,
) -> Result<NarInfo, StoreError> {
    let nars = directory.join("nar");
    let temporary = NamedTempFile::new_in(&nars).map_err(StoreError::io("create a file in", &nars))?;
    let source = store.real_path(&known.path);
    let mut nar_hash = None;
    let out = HashWriter::new(HashAlgo::Sha256, io::BufWriter::new(temporary));
    let out = compress::<_, TreeError>(options.compression, out, |stream| {
        let hashed = HashWriter::new(HashAlgo::Sha256, stream);
        nar_hash = Some(fs_nar::dump(&source, &mut fs_nar::everything, hashed)?.finish().0);
        Ok(())
    })?;
    if let Some(actual) = nar_hash.filter(|hash| *hash != known.nar_hash) {
        let path = known.path.clone();
        return Err(StoreError::HashMismatch { path, expected: known.nar_hash.into(), actual: actual.into() });
    }
    let (file_hash, file_size, out) = out.finish();
    let temporary = out.into_inner().map_err(|error| StoreError::io("write", &nars)(error.into_error()))?;
    let extension = match options.compression {
        Compression::None => String::new(),
        Compression::Bzip2 => ".bz2".to_owned(),
        Compression::Gzip => ".gz".to_owned(),
        Compression::Zstd => ".zst".to_owned(),
        Compression::Xz | Compression::Brotli => format!(".{}", options.compression.name()),
    };
    let url = format!("nar/{}.nar{extension}", file_hash.to_nix32());
    persist(temporary, &directory.join(&url))?;
    let mut info = NarInfo {
        path: known.path.clone(),
        url,
        compression: options.compression,
        file_hash: Some(file_hash),
        file_size: Some(file_size),
        nar_hash: known.nar_hash,
        nar_size: known.nar_size,
        references: known.references.clone(),
        deriver: known.deriver.clone(),
        signatures: known.signatures.clone(),
        content_address: known.content_address,
    };
    if let Some(key) = options.key {
        info.signatures.insert(key.sign(info.fingerprint().as_bytes()));
    }
    Ok(info)
}

fn write_file(path: &Path, text: &str) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = NamedTempFile::new_in(directory).map_err(StoreError::io("create", path))?;
    temporary.write_all(text.as_bytes()).map_err(StoreError::io("write", path))?;
    persist(temporary, path)
}

/// Gives a file that is written its name, readable for all, as servers run as others.
fn persist(temporary: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temporary.as_file().set_permissions(mode).map_err(StoreError::io("set the mode of", path))?;
    temporary.as_file().sync_all().map_err(StoreError::io("flush", path))?;
    temporary.persist(path).map_err(|error| StoreError::io("create", path)(error.error))?;
    Ok(())
}
