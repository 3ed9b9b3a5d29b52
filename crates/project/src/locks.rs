//! The lock file of a flake: completing it, and moving what it pins.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use fetch::lock::{Change, InputPath, LockOptions, Locked, changes, lock};
use fetch::{Asker, FetchError, Fetcher};
use nix_formats::flake_ref::{FlakeRef, Scheme};

use crate::error::Error;
use crate::flake_inputs::read_inputs;
use crate::project::Project;

/// What the command line says of the locks of flakes.
#[derive(Clone, Debug)]
pub struct LockSettings {
    /// What inputs are taken to be instead of what their flakes say.
    pub overrides: BTreeMap<InputPath, FlakeRef>,
    /// Whether a lock file that had to be completed is written.
    pub write: bool,
    /// Whether it may have to be completed at all.
    pub complete: bool,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self { overrides: BTreeMap::new(), write: true, complete: true }
    }
}

/// What became of a lock file.
#[derive(Debug)]
pub struct LockReport {
    /// The lock file; `None` where the flake is not on this machine.
    pub file: Option<PathBuf>,
    /// The inputs that lead elsewhere than before.
    pub changes: Vec<Change>,
    /// Why it was not written, if it was not.
    pub problem: Option<String>,
}

/// A flake, where it is, and its lock.
pub(crate) struct LockedTree {
    pub reference: FlakeRef,
    pub locked: Locked,
}

/// Fetches a flake and pins its inputs. Nothing is written.
pub(crate) fn locked(fetcher: &Fetcher, located: &FlakeRef, options: &LockOptions) -> Result<LockedTree, FetchError> {
    let reference = fetcher.resolve(located, Asker::User)?;
    let tree = fetcher.tree(&reference, "source")?;
    let locked = lock(fetcher, &tree, reference.dir(), &read_inputs, options)?;
    Ok(LockedTree { reference, locked })
}

impl LockedTree {
    /// Where the lock file is to be written: beside the `flake.nix` of a directory of the user's. Another flake's lock is
    /// only used.
    pub fn file(&self) -> Option<PathBuf> {
        let reference = &self.reference;
        let directory = match (reference.scheme(), reference.text("path"), reference.text("url")) {
            (Scheme::Path, Some(path), _) => PathBuf::from(path),
            (Scheme::Git, _, Some(url)) if reference.text("rev").is_none() && reference.text("ref").is_none() => {
                url::Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()?
            }
            _ => return None,
        };
        let directory = directory.join(reference.dir());
        directory.join("flake.nix").exists().then(|| directory.join("flake.lock"))
    }

    /// Writes the lock file, and tells git of it: a flake has only the files that git knows. The error is a sentence.
    pub fn save(&self, fetcher: &Fetcher, file: &Path) -> Result<(), String> {
        if let Some(reference) = self.locked.unlocked() {
            let shown = fetch::shown(reference);
            return Err(format!("the input '{shown}' is not pinned to anything that lasts"));
        }
        let write = || -> std::io::Result<()> {
            let mut temporary = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
            temporary.write_all(self.locked.lock.print().as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            temporary.as_file().set_permissions(mode)?;
            temporary.as_file().sync_all()?;
            temporary.persist(file)?;
            Ok(())
        };
        write().map_err(|error| format!("'{}' cannot be written: {error}", file.display()))?;
        if self.reference.scheme() == Scheme::Git {
            fetcher.track(file);
        }
        Ok(())
    }
}

impl Project {
    /// Completes the lock file of a flake, moves the pins that `options` name, and writes it.
    ///
    /// # Errors
    /// There is no flake there, an input cannot be fetched, or inputs do not go together.
    pub fn lock_inputs(&self, reference: &str, options: &LockOptions) -> Result<LockReport, Error> {
        let fetcher = &self.services.open()?.fetcher;
        let (located, _) = fetch::locate(&self.options.directory, reference).map_err(no_lock)?;
        let tree = locked(fetcher, &located, options).map_err(no_lock)?;
        let changes = changes(&tree.locked.old, &tree.locked.lock);
        let file = tree.file();
        // A flake without inputs needs no file.
        let has_none = tree.locked.lock.nodes.len() == 1 && file.as_ref().is_some_and(|file| !file.exists());
        let problem = match &file {
            None => Some("the flake is not on this machine".to_owned()),
            Some(_) if !tree.locked.is_changed() || has_none => None,
            Some(file) => tree.save(fetcher, file).err(),
        };
        Ok(LockReport { file, changes, problem })
    }
}

fn no_lock(error: FetchError) -> Error {
    Error::target(
        crate::inputs::in_words(&error),
        "inputs stand in the flake.nix as `inputs.NAME.url = \"github:OWNER/REPO\";`",
    )
}
