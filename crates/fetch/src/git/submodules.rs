//! The submodules of a commit.

use std::path::PathBuf;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use nix_formats::flake_ref::{Attr, Attrs, FlakeRef, submodule_url};

use super::{Commit, Options, Repository};
use crate::{FetchError, Fetcher};

/// How deep repositories may be in each other.
pub(super) const DEEPEST: usize = 64;

/// What `.gitmodules` says of a submodule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub name: BString,
    pub path: BString,
    pub url: String,
    pub branch: Option<String>,
}

/// Reads a `.gitmodules` file.
pub(super) fn declared(text: &[u8]) -> Result<Vec<Declared>, String> {
    let file = gix::config::File::try_from(text.as_bstr()).map_err(|error| error.to_string())?;
    let sections = file.sections_by_name("submodule").into_iter().flatten();
    let submodules = sections.filter_map(|section| {
        let text = |key: &str| section.value(key).map(|value| value.to_str_lossy().into_owned());
        Some(Declared {
            name: section.header().subsection_name()?.to_owned(),
            path: section.value("path")?.trim_end_with(|c| c == '/').into(),
            url: text("url")?,
            branch: text("branch").filter(|branch| !branch.is_empty()),
        })
    });
    Ok(submodules.collect())
}

impl Repository {
    /// What `.gitmodules` of a commit says; nothing where there is none.
    pub(super) fn declared_submodules(&self, tree: ObjectId) -> Result<Vec<Declared>, FetchError> {
        match self.entry(tree, ".gitmodules".into())? {
            Some((EntryKind::Blob | EntryKind::BlobExecutable, id)) => {
                declared(&self.blob(id)?).map_err(self.failed("read .gitmodules"))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What a tree has at a path.
    pub(super) fn entry(&self, tree: ObjectId, path: &BStr) -> Result<Option<(EntryKind, ObjectId)>, FetchError> {
        let mut id = tree;
        let mut parts = path.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let tree = self.gix.find_tree(id).map_err(self.failed("find the tree"))?;
            let Some(entry) = tree.find_entry(part) else { return Ok(None) };
            let kind = entry.mode().kind();
            id = entry.object_id();
            match (parts.peek(), kind) {
                (None, _) => return Ok(Some((kind, id))),
                (Some(_), EntryKind::Tree) => {}
                (Some(_), _) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Where git keeps the objects of a submodule that was checked out once.
    fn kept_submodules(&self, declared: &Declared) -> Vec<PathBuf> {
        let inside = |name: &BString| {
            let path = PathBuf::from(name.to_str_lossy().into_owned());
            path.components().all(|part| matches!(part, std::path::Component::Normal(_))).then_some(path)
        };
        let module = inside(&declared.name).map(|name| self.gix.common_dir().join("modules").join(name));
        let checked_out = self.gix.workdir().zip(inside(&declared.path)).map(|(root, path)| root.join(path));
        module.into_iter().chain(checked_out.filter(|path| path.join(".git").exists())).collect()
    }
}

impl Fetcher {
    /// The repository and the commit of a submodule: the objects that are there, else fetched.
    ///
    /// `branch` is that of the repository around it, `is_remote` whether that one is on another machine: then it may not
    /// name one that is on this.
    pub(super) fn submodule(
        &self,
        around: &Repository,
        declared: &Declared,
        id: ObjectId,
        branch: Option<&str>,
        options: Options,
    ) -> Result<(Repository, Commit, Options), FetchError> {
        let what = format!("{} in {}", declared.path, around.origin);
        let rev = id.to_string();
        if options.depth >= DEEPEST {
            let reason = "submodules are in each other too deeply";
            return Err(FetchError::Unsupported { what, reason });
        }
        let inner = Options { depth: options.depth + 1, ..options };
        for path in around.kept_submodules(declared) {
            if let Ok(repository) = Repository::open(&path)
                && repository.has(&rev)
            {
                let commit = repository.commit(id)?;
                return Ok((repository, commit, inner));
            }
        }
        let url = submodule_url(&around.origin, &declared.url)
            .map_err(|reason| FetchError::Revision { what: what.clone(), reason: format!("its address: {reason}") })?;
        if options.is_remote && super::local_path(&url).is_some() {
            let reason = "a repository elsewhere may not name one on this machine as a submodule";
            return Err(FetchError::Unsupported { what, reason });
        }
        let mut attrs = Attrs::from([
            ("type".to_owned(), "git".into()),
            ("url".to_owned(), url.into()),
            ("rev".to_owned(), rev.into()),
            ("allRefs".to_owned(), true.into()),
            ("shallow".to_owned(), options.shallow.into()),
        ]);
        let branch = declared.branch.as_deref().map(|own| if own == "." { branch.unwrap_or("HEAD") } else { own });
        attrs.extend(branch.map(|branch| ("ref".to_owned(), Attr::from(branch))));
        let found = self.git_commit(&FlakeRef::from_attrs(attrs)?)?;
        Ok((found.repository, found.commit, Options { is_remote: found.is_remote || options.is_remote, ..inner }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_without_a_path_are_none() {
        let text = b"[submodule \"a b\"]\n\tpath = lib/x/\n\turl = ../x.git\n\tbranch = .\n[submodule \"y\"]\n\turl = z\n[other]\n";
        let read = declared(text).unwrap();
        let branch = Some(".".to_owned());
        assert_eq!(read, [Declared { name: "a b".into(), path: "lib/x".into(), url: "../x.git".into(), branch }]);
        assert!(declared(b"[submodule").is_err());
    }
}
