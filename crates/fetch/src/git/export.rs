//! A tree of git's objects → a tree of files.

use std::path::Path;

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use store::fs_nar::{Restorer, TreeError, TreeSink};

use super::Repository;
use crate::FetchError;

/// Writes the tree to `destination`, which must not exist. Contents are as git stores them: no line ends are changed
/// and no filters are run. A submodule is an empty directory.
pub(super) fn export(repository: &Repository, tree: ObjectId, destination: &Path) -> Result<(), FetchError> {
    let mut restorer = Restorer::new(destination)?;
    write_tree(repository, tree, &mut restorer)?;
    Ok(restorer.finish()?)
}

fn write_tree(repository: &Repository, id: ObjectId, sink: &mut Restorer) -> Result<(), FetchError> {
    let tree = repository.gix.find_tree(id).map_err(repository.failed("find the tree"))?;
    sink.open_directory()?;
    for entry in tree.iter() {
        let entry = entry.map_err(repository.failed("read the tree"))?;
        sink.entry(entry.filename())?;
        let id = entry.object_id();
        match entry.mode().kind() {
            EntryKind::Tree => write_tree(repository, id, sink)?,
            EntryKind::Blob => write_file(repository, id, false, sink)?,
            EntryKind::BlobExecutable => write_file(repository, id, true, sink)?,
            EntryKind::Link => {
                let blob = repository.gix.find_blob(id).map_err(repository.failed("find the symlink"))?;
                sink.symlink(&blob.data)?;
            }
            EntryKind::Commit => {
                sink.open_directory()?;
                sink.close_directory()?;
            }
        }
    }
    Ok(sink.close_directory()?)
}

fn write_file(repository: &Repository, id: ObjectId, executable: bool, sink: &mut Restorer) -> Result<(), FetchError> {
    let blob = repository.gix.find_blob(id).map_err(repository.failed("find the file"))?;
    let mut write = || -> Result<(), TreeError> {
        sink.open_file(executable, blob.data.len() as u64)?;
        sink.content(&blob.data)?;
        sink.close_file()
    };
    Ok(write()?)
}
