//! The evaluator's world: files, store, builds and fetches, for one evaluation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use eval::{CopyPath, FetchRequest, FetchValue, Fetched, FileType, Host, HostError, Level, LockedFlake, Wanted};
use fetch::TreeState;
use nix_formats::store_path::StorePath;
use store::progress::Progress;

use crate::derivations::Derivations;
use crate::files::{Access, Files};
use crate::inputs::Inputs;
use crate::locks::LockSettings;
use crate::native::Native;
use crate::services::{Opened, Services};
use crate::sources::Sources;

/// Looks an environment variable up.
pub type Variables = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// Implements [`Host`] over a store, a builder and the machine's files.
pub(crate) struct ProjectHost {
    pub(crate) services: Arc<Services>,
    /// Where relative references to flakes begin.
    pub(crate) directory: PathBuf,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) variables: Variables,
    pub(crate) files: Files,
    /// What the command line says of the locks of flakes.
    pub(crate) locks: LockSettings,
    /// What a restricted evaluation may fetch.
    pub(crate) allowed_uris: Vec<String>,
    pub(crate) sources: Sources,
    pub(crate) derivations: Arc<Derivations>,
    /// Absent where nixpkgs' own image functions are wanted.
    pub(crate) native: Option<Native>,
}

impl ProjectHost {
    /// Builds an output that the evaluation wants to read.
    fn build_output(&self, derivation: &StorePath, output: &str) -> Result<StorePath, HostError> {
        let opened = self.opened()?;
        let written = self.derivations.write(std::slice::from_ref(derivation), &*opened.store);
        if written.is_err() && !self.sources.write {
            self.derivations.note_lacked_inputs();
            return Err(HostError::Failed(format!(
                "'{}' has to be built for the evaluation, which writes nothing into the store, what it is built from \
                 included (--read-write-mode lifts that)",
                derivation.to_absolute()
            )));
        }
        written.map_err(failed)?;
        let wanted = build::Wanted::some(derivation.clone(), BTreeSet::from([output.to_owned()]));
        let realised = opened.builder.realise(&[wanted]).map_err(failed)?;
        let path = realised.first().and_then(|realised| realised.outputs.get(output));
        let expected = opened.store.read_derivation(derivation).map_err(failed)?.output_path(output);
        let path = path.ok_or_else(|| HostError::Failed(format!("'{derivation}' has no output '{output}'")))?;
        // The expression reads at the path that it knows.
        let Some(expected) = expected else { return Ok(path.clone()) };
        if *path != expected {
            self.files.elsewhere.note(&expected, path);
        }
        Ok(expected)
    }

    /// Makes sure that a store object is there.
    pub(crate) fn have(&self, path: &StorePath) -> Result<(), HostError> {
        let store = &self.opened()?.store;
        let path = &self.files.elsewhere.path_of(path);
        store.add_temp_root(path).map_err(failed)?;
        if store.is_valid(path).map_err(failed)? {
            return Ok(());
        }
        let taken = self.services.substituters().take([path.clone()], &**store, &*self.progress);
        taken.map(drop).map_err(|error| {
            HostError::Failed(format!("'{}' is not in the store, and cannot be taken: {error}", path.to_absolute()))
        })
    }

    /// Whether the evaluation is pure: what it may see does not depend on where links lead.
    pub(crate) fn is_pure(&self) -> bool {
        self.files.access == Access::StoreOnly
    }

    fn inputs<'a>(&'a self, notify: &'a dyn Fn(&str)) -> Result<Inputs<'a>, HostError> {
        Ok(Inputs { fetcher: &self.opened()?.fetcher, directory: &self.directory, pure: self.is_pure(), notify })
    }

    /// How the tree that a request fetches looks, if it is on this machine and not fixed.
    pub(crate) fn fetch_state(&self, request: &FetchRequest) -> Option<TreeState> {
        self.inputs(&|_| ()).ok()?.fetch_state(request)
    }

    /// As [`ProjectHost::fetch_state`], for the tree of a flake.
    pub(crate) fn flake_state(&self, reference: &str) -> Option<TreeState> {
        self.inputs(&|_| ()).ok()?.flake_state(reference)
    }

    fn opened(&self) -> Result<&Opened, HostError> {
        self.services.open().map_err(failed)
    }

    /// A restricted evaluation fetches from where it may alone.
    fn check_uri(&self, uri: &str) -> Result<(), HostError> {
        if !matches!(self.files.access, Access::Below(_))
            || self.allowed_uris.iter().any(|allowed| covers(allowed, uri))
        {
            return Ok(());
        }
        let path = uri.strip_prefix("file://").or_else(|| uri.strip_prefix("path:")).unwrap_or(uri);
        if path.starts_with('/') {
            return self.files.locate(Path::new(path), true).map(drop);
        }
        Err(HostError::Refused(format!(
            "access to '{uri}' is forbidden in restricted evaluation: the option 'allowed-uris' does not name it"
        )))
    }
}

/// Whether an address is the allowed one or below it; `https:` allows all of its scheme.
fn covers(allowed: &str, uri: &str) -> bool {
    match uri.strip_prefix(allowed) {
        Some("") => true,
        Some(rest) => {
            allowed.ends_with('/') || rest.starts_with('/') || (allowed.ends_with(':') && !allowed.contains('/'))
        }
        None => false,
    }
}

/// The address of a request, as far as it has one.
fn uri_of(request: &FetchRequest) -> String {
    let text = |name: &str| match request.attrs.get(name) {
        Some(FetchValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match (text("url"), text("type"), text("path")) {
        (Some(url), _, _) => url.to_owned(),
        (None, _, Some(path)) => path.to_owned(),
        (None, scheme, None) => {
            let rest: Vec<&str> = ["owner", "repo", "id"].into_iter().filter_map(text).collect();
            format!("{}:{}", scheme.unwrap_or_default(), rest.join("/"))
        }
    }
}

impl Host for ProjectHost {
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        let content = self.files.read_file(path)?;
        match &self.native {
            Some(native) => native.read(path, content).map_err(failed),
            None => Ok(content),
        }
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<(Vec<u8>, FileType)>, HostError> {
        self.files.read_dir(path)
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>, HostError> {
        self.files.file_type(path)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, HostError> {
        self.files.read_link(path)
    }

    fn copy_path(&self, copy: CopyPath<'_>) -> Result<StorePath, HostError> {
        self.sources.copy(&self.files, &self.services, &*self.progress, copy)
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, HostError> {
        let references = references.iter().cloned().collect();
        if !self.sources.write {
            return nix_formats::store_path::text_path(name, contents, &references).map_err(failed);
        }
        self.opened()?.store.add_text(name, contents, &references).map_err(failed)
    }

    fn add_derivation(&self, path: &StorePath, aterm: Vec<u8>) -> Result<(), HostError> {
        self.derivations.note(path, aterm);
        Ok(())
    }

    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, HostError> {
        let mut outputs = Vec::new();
        for one in wanted {
            outputs.push(match one {
                Wanted::Path(path) => {
                    self.have(path)?;
                    path.clone()
                }
                Wanted::Output { derivation, output } => self.build_output(derivation, output)?,
            });
        }
        Ok(outputs)
    }

    fn ensure_path(&self, path: &StorePath) -> Result<(), HostError> {
        // One that writes nothing fetches nothing for a mere mention.
        if self.sources.write { self.have(path) } else { Ok(()) }
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, HostError> {
        let info = self.opened()?.store.path_info(&self.files.elsewhere.path_of(path)).map_err(failed)?;
        Ok(info.map(|info| info.references.into_iter().collect()).unwrap_or_default())
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        match self.files.access {
            Access::Below(_) => None,
            _ => (self.variables)(name),
        }
    }

    fn current_time(&self) -> i64 {
        UNIX_EPOCH.elapsed().map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        self.check_uri(&uri_of(request))?;
        self.inputs(&|_| ())?.fetch(request)
    }

    fn lock_flake(&self, reference: &str) -> Result<LockedFlake, HostError> {
        self.check_uri(reference)?;
        self.inputs(&|message| self.progress.warn(message))?.lock_flake(reference, &self.locks)
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

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn an_allowed_address_covers_what_is_below_it() {
        for (allowed, uri, is_allowed) in [
            ("https://e.org/a", "https://e.org/a", true),
            ("https://e.org/a", "https://e.org/a/b", true),
            ("https://e.org/a", "https://e.org/ab", false),
            ("https://e.org/a/", "https://e.org/a/b", true),
            ("github:", "github:NixOS/nixpkgs", true),
            ("github:NixOS", "github:NixOS-evil/nixpkgs", false),
        ] {
            assert_eq!(covers(allowed, uri), is_allowed, "{allowed} {uri}");
        }
    }
}
