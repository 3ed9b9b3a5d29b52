//! Notes of which objects the outputs of derivations are, where the derivations do not say so.
//!
//! A note is a symlink `<base name of the derivation>!<output>` to the object's path. Losing one costs a build.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;

use crate::error::BuildError;

/// In the place of an output's name: which none has, as it could not be part of a store path's.
const RESOLVED: &str = "!resolved";

/// The notes in a directory.
#[derive(Debug, Clone)]
pub struct Realisations {
    directory: PathBuf,
}

impl Realisations {
    /// Notes in this directory, which is made when the first is taken.
    pub fn new(directory: impl Into<PathBuf>) -> Realisations {
        Realisations { directory: directory.into() }
    }

    /// Where the notes are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The object that an output was when it was last built. It need not be in a store any more.
    pub fn find(&self, derivation: &StorePath, output: &str) -> Option<StorePath> {
        path_of(&fs::read_link(self.place(derivation, output)).ok()?)
    }

    /// Notes down an object, in place of what was noted before.
    pub(crate) fn note(&self, derivation: &StorePath, output: &str, path: &StorePath) -> Result<(), BuildError> {
        let place = self.place(derivation, output);
        fs::create_dir_all(&self.directory).map_err(BuildError::file("create the directory", &self.directory))?;
        let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.directory);
        let temporary = temporary.map_err(BuildError::file("write in", &self.directory))?;
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(path.to_absolute(), &link)
            .and_then(|()| fs::rename(&link, &place))
            .map_err(BuildError::file("write the note", &place))
    }

    /// The derivation that was built in the place of one: one whose inputs are objects.
    pub fn find_resolved(&self, derivation: &StorePath) -> Option<StorePath> {
        self.find(derivation, RESOLVED)
    }

    /// Notes down which derivation is built in the place of one.
    pub(crate) fn note_resolved(&self, derivation: &StorePath, resolved: &StorePath) -> Result<(), BuildError> {
        self.note(derivation, RESOLVED, resolved)
    }

    /// Which outputs of which derivations these objects are, as far as that was noted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn of_objects(&self, objects: &BTreeSet<StorePath>) -> io::Result<Vec<(StorePath, OutputName, StorePath)>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some((derivation, output)) = name.split_once('!').filter(|(_, output)| *output != RESOLVED) else {
                continue;
            };
            let object = fs::read_link(entry.path()).ok().and_then(|target| path_of(&target));
            let object = object.filter(|object| objects.contains(object));
            if let (Ok(derivation), Some(object)) = (StorePath::from_base_name(derivation), object) {
                found.push((derivation, output.to_owned(), object));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Forgets the notes of objects that are not in the store any more, as `is_there` says.
    ///
    /// # Errors
    /// The directory cannot be read or written, or `is_there` fails.
    pub fn forget_unless<E: From<io::Error>>(
        &self,
        mut is_there: impl FnMut(&StorePath) -> Result<bool, E>,
    ) -> Result<(), E> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let link: PathBuf = entry?.path();
            let target = fs::read_link(&link).ok().and_then(|target| path_of(&target));
            if let Some(target) = target
                && !is_there(&target)?
            {
                fs::remove_file(&link)?;
            }
        }
        Ok(())
    }

    fn place(&self, derivation: &StorePath, output: &str) -> PathBuf {
        self.directory.join(format!("{}!{output}", derivation.base_name()))
    }
}

fn path_of(target: &Path) -> Option<StorePath> {
    StorePath::from_absolute(target.as_os_str().as_encoded_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_until_its_object_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Realisations::new(directory.path().join("notes"));
        let path = |name: &str| StorePath::from_base_name(format!("0c6rn30q4frawknapgwq386zq358m8r6-{name}")).unwrap();
        assert_eq!(notes.find(&path("d.drv"), "out"), None);
        for object in ["a", "b"] {
            notes.note(&path("d.drv"), "out", &path(object)).unwrap();
            assert_eq!(notes.find(&path("d.drv"), "out"), Some(path(object)));
        }
        assert_eq!(notes.find(&path("d.drv"), "dev"), None);
        notes.note_resolved(&path("d.drv"), &path("r.drv")).unwrap();
        assert_eq!(notes.find_resolved(&path("d.drv")), Some(path("r.drv")));
        let objects = [path("b"), path("r.drv")].into();
        assert_eq!(notes.of_objects(&objects).unwrap(), [(path("d.drv"), "out".to_owned(), path("b"))]);
        assert_eq!(notes.of_objects(&[path("a")].into()).unwrap(), []);
        notes.forget_unless(|_| io::Result::Ok(true)).unwrap();
        assert_eq!(notes.find(&path("d.drv"), "out"), Some(path("b")));
        notes.forget_unless(|_| io::Result::Ok(false)).unwrap();
        assert_eq!(notes.find(&path("d.drv"), "out"), None);
    }
}
