//! The evaluator's world: files, store, builds and fetches, for one evaluation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use build::Builder;
use eval::{CopyPath, FetchRequest, Fetched, FileType, Host, HostError, Level, LockedFlake, Wanted};
use fetch::Fetcher;
use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use store::progress::Progress;
use store::{LocalStore, Store};

use crate::derivations::Derivations;
use crate::files::{Access, Files};
use crate::inputs::Inputs;
use crate::sources::Sources;

/// Looks an environment variable up.
pub type Variables = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// Implements [`Host`] over a store, a builder and the machine's files.
pub(crate) struct ProjectHost {
    pub(crate) store: Arc<LocalStore>,
    pub(crate) builder: Arc<Builder>,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Where relative references to flakes begin.
    pub(crate) directory: PathBuf,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) variables: Variables,
    pub(crate) access: Access,
    pub(crate) sources: Sources,
    pub(crate) derivations: Arc<Derivations>,
}

impl ProjectHost {
    /// Builds an output that the evaluation wants to read.
    fn build_output(&self, derivation: &StorePath, output: &str) -> Result<StorePath, HostError> {
        self.derivations.write(std::slice::from_ref(derivation), &*self.store).map_err(failed)?;
        let wanted = build::Wanted::some(derivation.clone(), BTreeSet::from([output.to_owned()]));
        let realised = self.builder.realise(&[wanted]).map_err(failed)?;
        let path = realised.first().and_then(|realised| realised.outputs.get(output));
        path.cloned().ok_or_else(|| HostError::Failed(format!("'{derivation}' has no output '{output}'")))
    }

    fn inputs<'a>(&'a self, notify: &'a dyn Fn(&str)) -> Inputs<'a> {
        Inputs { fetcher: &self.fetcher, directory: &self.directory, notify }
    }

    fn files(&self) -> Files<'_> {
        Files { store: &*self.store, access: self.access }
    }
}

impl Host for ProjectHost {
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        self.files().read_file(path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        self.files().read_dir(path)
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        self.files().file_type(path)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        self.files().read_link(path)
    }

    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        self.sources.copy(&self.files(), &*self.progress, copy)
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError> {
        let references = references.iter().cloned().collect();
        if !self.sources.write {
            return nix_formats::store_path::text_path(name, contents, &references).map_err(failed);
        }
        self.store.add_text(name, contents, &references).map_err(failed)
    }

    fn add_derivation(&self, path: &StorePath, derivation: &Derivation, _aterm: &[u8]) -> Result<(), HostError> {
        self.derivations.note(path, derivation);
        Ok(())
    }

    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError> {
        let mut outputs = Vec::new();
        for one in wanted {
            outputs.push(match one {
                Wanted::Path(path) => {
                    self.ensure_path(path)?;
                    path.clone()
                }
                Wanted::Output { derivation, output } => self.build_output(derivation, output)?,
            });
        }
        Ok(outputs)
    }

    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError> {
        match self.store.is_valid(path).map_err(failed)? {
            true => self.store.add_temp_root(path).map_err(failed),
            false => Err(HostError::Failed(format!("'{}' is not in the store", path.to_absolute()))),
        }
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, HostError> {
        let info = self.store.path_info(path).map_err(failed)?;
        Ok(info.map(|info| info.references.into_iter().collect()).unwrap_or_default())
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        (self.variables)(name)
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        self.inputs(&|_| ()).fetch(request)
    }

    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError> {
        self.inputs(&|message| self.progress.warn(message)).lock_flake(reference)
    }

    fn show(&self, level: Level, message: &str) {
        match level {
            Level::Trace => self.progress.warn(&format!("trace: {message}")),
            Level::Warning => self.progress.warn(message),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> HostError {
    HostError::Failed(error.to_string())
}
