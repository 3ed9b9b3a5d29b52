//! A host that reads this machine's files and writes nothing: for tests, comparisons and `--parse`-like tools.
//!
//! It is the one place of the crate that touches the world; the evaluator itself knows only the trait [`Host`]. Store
//! paths are computed, never written, so building and fetching are refused.

use std::io::BufReader;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::hash::{Hash, HashAlgo, HashWriter};
use nix_formats::nar::Writer;
use nix_formats::store_path::{self, StorePath};

use crate::host::{
    CopyPath, FetchRequest, FetchValue, Fetched, FileType, Filter, Host, HostError, Level, LockedFlake, Wanted,
};

/// See the module.
#[derive(Default)]
pub struct ReadOnlyHost {
    /// Whether messages of `trace` and `warn` go to standard error, or nowhere.
    pub quiet: bool,
}

impl Host for ReadOnlyHost {
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        fs::read(path).map_err(|error| failed("read", path, &error))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        let entries = fs::read_dir(path).map_err(|error| failed("list", path, &error))?;
        entries
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().into_vec(), kind(entry.file_type()?)))
            })
            .collect::<io::Result<_>>()
            .map_err(|error| failed("list", path, &error))
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(kind(metadata.file_type()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(failed("look at", path, &error)),
        }
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        fs::read_link(path).map_err(|error| failed("read the link", path, &error))
    }

    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        let hash = match copy.method {
            Method::Nar => nar_hash(copy.source, copy.filter)?,
            _ => Hash::of(HashAlgo::Sha256, &self.read_file(copy.source)?),
        };
        if let Some(expected) = copy.expected.filter(|expected| **expected != hash) {
            let (source, found) = (copy.source.display(), hash.to_prefixed_hex());
            let wanted = expected.to_prefixed_hex();
            return Err(HostError::Failed(format!("'{source}' has the hash {found}, where {wanted} is expected")));
        }
        let address = ContentAddress { method: copy.method, hash };
        address.store_path(copy.name, [], false).map_err(|error| HostError::Failed(error.to_string()))
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError> {
        let mut references = references.to_vec();
        references.sort();
        store_path::text_path(name, contents, &references).map_err(|error| HostError::Failed(error.to_string()))
    }

    fn add_derivation(&self, _: &StorePath, _: Vec<u8>) -> Result<(), HostError> {
        Ok(())
    }

    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError> {
        wanted
            .iter()
            .map(|wanted| match wanted {
                Wanted::Path(path) if Path::new(&path.to_absolute()).exists() => Ok(path.clone()),
                Wanted::Path(path) | Wanted::Output { derivation: path, .. } => Err(HostError::Refused(format!(
                    "'{}' is needed during evaluation, but this evaluation is read-only",
                    path.to_absolute()
                ))),
            })
            .collect()
    }

    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError> {
        self.realise(&[Wanted::Path(path.clone())]).map(drop)
    }

    fn references(&self, _: &StorePath) -> Result<Vec<StorePath>, HostError> {
        Ok(Vec::new())
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(OsStringExt::into_vec)
    }

    fn current_time(&self) -> i64 {
        // Two evaluations that are compared must agree.
        1
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        let url = match request.attrs.get("url") {
            Some(FetchValue::String(url)) => url,
            _ => "a source",
        };
        Err(HostError::Refused(format!("fetching {url} is not possible in a read-only evaluation")))
    }

    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError> {
        Err(HostError::Refused(format!("the flake '{reference}' cannot be locked in a read-only evaluation")))
    }

    fn show(&self, level: Level, message: &str) {
        if self.quiet {
            return;
        }
        match level {
            Level::Trace => eprintln!("trace: {message}"),
            Level::Warning => eprintln!("evaluation warning: {message}"),
        }
    }
}

fn kind(file_type: fs::FileType) -> FileType {
    if file_type.is_dir() {
        FileType::Directory
    } else if file_type.is_symlink() {
        FileType::Symlink
    } else if file_type.is_file() {
        FileType::Regular
    } else {
        FileType::Unknown
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> HostError {
    match error.kind() {
        io::ErrorKind::NotFound => HostError::NotFound(path.to_owned()),
        _ => HostError::Failed(format!("cannot {doing} '{}': {error}", path.display())),
    }
}

fn nar_hash(source: &Path, mut filter: Option<&mut Filter<'_>>) -> Result<Hash, HostError> {
    let sink = HashWriter::new(HashAlgo::Sha256, io::sink());
    let mut nar = Writer::new(sink).map_err(|error| failed("hash", source, &error))?;
    write_node(source, &mut nar, &mut filter)?;
    let sink = nar.finish().map_err(|error| HostError::Failed(error.to_string()))?;
    Ok(sink.finish().0)
}

fn write_node<W: io::Write>(
    path: &Path,
    nar: &mut Writer<W>,
    filter: &mut Option<&mut Filter<'_>>,
) -> Result<(), HostError> {
    let bad = |error: nix_formats::nar::NarError| HostError::Failed(format!("'{}': {error}", path.display()));
    let metadata = fs::symlink_metadata(path).map_err(|error| failed("look at", path, &error))?;
    match kind(metadata.file_type()) {
        FileType::Regular => {
            let file = fs::File::open(path).map_err(|error| failed("read", path, &error))?;
            let executable = metadata.permissions().mode() & 0o100 != 0;
            nar.file(executable, metadata.len(), &mut BufReader::new(file)).map_err(bad)
        }
        FileType::Symlink => {
            let target = fs::read_link(path).map_err(|error| failed("read the link", path, &error))?;
            nar.symlink(target.as_os_str().as_bytes()).map_err(bad)
        }
        FileType::Directory => {
            let mut names: Vec<_> = fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
                .map_err(|error| failed("list", path, &error))?;
            names.sort();
            nar.open_directory().map_err(bad)?;
            for name in names {
                let child = path.join(&name);
                let metadata = fs::symlink_metadata(&child).map_err(|error| failed("look at", &child, &error))?;
                let wanted = match filter {
                    Some(filter) => filter(&child, kind(metadata.file_type()))?,
                    None => true,
                };
                if wanted {
                    nar.entry(name.as_bytes()).map_err(bad)?;
                    write_node(&child, nar, filter)?;
                }
            }
            nar.close_directory().map_err(bad)
        }
        FileType::Unknown => {
            Err(HostError::Failed(format!("'{}' is neither a file, a directory nor a symbolic link", path.display())))
        }
    }
}
