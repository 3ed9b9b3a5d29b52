//! A tree of git's objects → a tree of files.

use std::collections::BTreeMap;
use std::path::Path;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use nix_formats::nar::name_problem;
use store::fs_nar::{Restorer, TreeSink};

use super::attributes::Attributes;
use super::lfs::LargeFiles;
use super::{Commit, Options, Repository};
use crate::{FetchError, Fetcher};

/// Writes the files of a commit.
///
/// Contents are as git stores them: no line ends are changed, and of filters only that of large files is run, if it is
/// wanted. A submodule is an empty directory unless it is wanted.
pub(super) struct Exporter<'a> {
    fetcher: &'a Fetcher,
    repository: &'a Repository,
    options: Options,
    attributes: Attributes,
    large: Option<LargeFiles>,
    submodules: BTreeMap<BString, (Repository, Commit, Options)>,
}

impl<'a> Exporter<'a> {
    /// Makes everything available that the tree needs from elsewhere.
    pub fn new(
        fetcher: &'a Fetcher,
        repository: &'a Repository,
        commit: &Commit,
        branch: Option<&str>,
        options: Options,
    ) -> Result<Self, FetchError> {
        let mut submodules = BTreeMap::new();
        if options.submodules {
            for declared in repository.declared_submodules(commit.tree)? {
                // What is not there, or is no submodule, is passed over, as git does.
                if let Some((EntryKind::Commit, id)) = repository.entry(commit.tree, declared.path.as_bstr())? {
                    let found = fetcher.submodule(repository, &declared, id, branch, options)?;
                    submodules.insert(declared.path, found);
                }
            }
        }
        let large = options.lfs.then(|| LargeFiles::find(fetcher, repository, commit.tree)).transpose()?;
        Ok(Self { fetcher, repository, options, attributes: Attributes::default(), large, submodules })
    }

    /// Writes a tree to `destination`, which must not exist.
    pub fn write(&mut self, tree: ObjectId, destination: &Path) -> Result<(), FetchError> {
        let mut restorer = Restorer::new(destination)?;
        self.write_tree(tree, &mut BString::default(), &mut restorer)?;
        Ok(restorer.finish()?)
    }

    fn write_tree(&mut self, id: ObjectId, path: &mut BString, sink: &mut Restorer) -> Result<(), FetchError> {
        let repository = self.repository;
        let tree = repository.gix.find_tree(id).map_err(repository.failed("find the tree"))?;
        if self.options.export_ignore {
            add_attributes(repository, &tree, path.as_bstr(), &mut self.attributes)?;
        }
        sink.open_directory()?;
        for entry in tree.iter() {
            let entry = entry.map_err(repository.failed("read the tree"))?;
            // A tree may hold any name; what is below must only see good ones.
            if let Some(problem) = name_problem(entry.filename()) {
                return Err(repository.failed("read the tree")(problem));
            }
            let kind = entry.mode().kind();
            let length = path.len();
            push(path, entry.filename());
            let is_directory = matches!(kind, EntryKind::Tree | EntryKind::Commit);
            let left_out =
                self.options.export_ignore && self.attributes.is_export_ignored(path.as_bstr(), is_directory);
            if !left_out {
                sink.entry(entry.filename())?;
                self.write_entry(kind, entry.object_id(), path, sink)?;
            }
            path.truncate(length);
        }
        Ok(sink.close_directory()?)
    }

    fn write_entry(
        &mut self,
        kind: EntryKind,
        id: ObjectId,
        path: &mut BString,
        sink: &mut Restorer,
    ) -> Result<(), FetchError> {
        match kind {
            EntryKind::Tree => self.write_tree(id, path, sink),
            EntryKind::Blob => self.write_file(id, path.as_bstr(), false, sink),
            EntryKind::BlobExecutable => self.write_file(id, path.as_bstr(), true, sink),
            EntryKind::Link => Ok(sink.symlink(&self.repository.blob(id)?)?),
            EntryKind::Commit => match self.submodules.get(path) {
                Some((repository, commit, options)) => {
                    let mut inner = Exporter::new(self.fetcher, repository, commit, None, *options)?;
                    inner.write_tree(commit.tree, &mut BString::default(), sink)
                }
                None => {
                    sink.open_directory()?;
                    Ok(sink.close_directory()?)
                }
            },
        }
    }

    fn write_file(&self, id: ObjectId, path: &BStr, executable: bool, sink: &mut Restorer) -> Result<(), FetchError> {
        if let Some(large) = &self.large
            && large.write(path, executable, sink)?
        {
            return Ok(());
        }
        let content = self.repository.blob(id)?;
        sink.open_file(executable, content.len() as u64)?;
        sink.content(&content)?;
        Ok(sink.close_file()?)
    }
}

/// Takes note of the `.gitattributes` of a directory, if it has one.
pub(super) fn add_attributes(
    repository: &Repository,
    tree: &gix::Tree<'_>,
    path: &BStr,
    attributes: &mut Attributes,
) -> Result<(), FetchError> {
    let file = tree.find_entry(".gitattributes").filter(|entry| entry.mode().is_blob());
    if let Some(file) = file {
        attributes.add(path, &repository.blob(file.object_id())?);
    }
    Ok(())
}

/// Appends a name to a path.
pub(super) fn push(path: &mut BString, name: &BStr) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
