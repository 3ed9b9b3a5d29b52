//! A repository on this machine, read without the git program.

use std::path::{Path, PathBuf};

use gix::ObjectId;

use crate::FetchError;

/// An open repository.
pub(crate) struct Repository {
    pub gix: gix::Repository,
    /// Where it is, for people.
    pub path: PathBuf,
    /// The address that relative ones of submodules, and that of large files, start from.
    pub origin: String,
}

/// A commit, and what is known of it.
pub(crate) struct Commit {
    pub id: ObjectId,
    pub tree: ObjectId,
    pub time: u64,
}

impl Repository {
    /// Opens a repository of the user's.
    pub fn open(path: &Path) -> Result<Self, FetchError> {
        let mut repository = Self::open_with_origin(path, String::new())?;
        let origin = repository.gix.config_snapshot().string("remote.origin.url").map(|url| url.to_string());
        let own = || format!("file://{}", path.display());
        let origin = origin.and_then(|url| nix_formats::flake_ref::git_url(&url).ok()).unwrap_or_else(own);
        repository.origin = origin;
        Ok(repository)
    }

    /// Opens a repository whose origin is known.
    pub fn open_with_origin(path: &Path, origin: String) -> Result<Self, FetchError> {
        // Neither the user's configuration nor the environment may change what a tree is.
        let options = gix::open::Options::isolated();
        let gix = gix::open_opts(path, options).map_err(|error| FetchError::Git {
            action: "find the objects",
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self { gix, path: path.to_owned(), origin })
    }

    /// For `map_err`.
    pub fn failed<E: std::fmt::Display>(&self, action: &'static str) -> impl FnOnce(E) -> FetchError {
        let path = self.path.clone();
        move |error| FetchError::Git { action, path, message: error.to_string() }
    }

    /// The commit that is checked out; `None` in a repository without commits.
    pub fn head(&self) -> Result<Option<Commit>, FetchError> {
        let head = self.gix.head().map_err(self.failed("read HEAD"))?;
        let id = head.try_into_peeled_id().map_err(self.failed("read HEAD"))?;
        id.map(|id| self.commit(id.detach())).transpose()
    }

    /// The branch that is checked out, as `refs/heads/main`.
    pub fn head_branch(&self) -> Result<Option<String>, FetchError> {
        let name = self.gix.head_name().map_err(self.failed("read HEAD"))?;
        Ok(name.map(|name| name.to_string()))
    }

    /// The commit of that hash.
    pub fn commit(&self, id: ObjectId) -> Result<Commit, FetchError> {
        let commit = self.gix.find_commit(id).map_err(self.failed("find the commit"))?;
        let tree = commit.tree_id().map_err(self.failed("read the commit"))?.detach();
        let time = commit.committer().and_then(|committer| committer.time()).map_err(self.failed("read the commit"))?;
        Ok(Commit { id, tree, time: u64::try_from(time.seconds).unwrap_or(0) })
    }

    /// The commit whose hash a text is.
    pub fn commit_of(&self, rev: &str) -> Result<Commit, FetchError> {
        self.commit(ObjectId::from_hex(rev.as_bytes()).map_err(self.failed("read the commit hash"))?)
    }

    /// Whether the commit of that hash is there.
    pub fn has(&self, rev: &str) -> bool {
        ObjectId::from_hex(rev.as_bytes()).is_ok_and(|id| self.gix.has_object(id))
    }

    /// The commit of a branch, a tag or any other name.
    pub fn named(&self, name: &str) -> Result<Commit, FetchError> {
        let mut reference = self.gix.find_reference(name).map_err(self.failed("find the branch or tag"))?;
        let id = reference.peel_to_id().map_err(self.failed("read the branch or tag"))?;
        self.commit(id.detach())
    }

    /// Whether there is a branch or tag of exactly that name.
    pub fn has_name(&self, name: &str) -> bool {
        self.gix.try_find_reference(name).is_ok_and(|found| found.is_some())
    }

    /// How many commits lead to this one, itself included.
    pub fn count(&self, commit: &Commit) -> Result<u64, FetchError> {
        let walk = self.gix.rev_walk([commit.id]).all().map_err(self.failed("count the commits"))?;
        let mut count = 0;
        for step in walk {
            step.map_err(self.failed("count the commits"))?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether only a part of the history is there.
    pub fn is_shallow(&self) -> Result<bool, FetchError> {
        self.gix.is_shallow().map_err(self.failed("read the depth"))
    }

    /// The content of a file.
    pub fn blob(&self, id: ObjectId) -> Result<Vec<u8>, FetchError> {
        let mut blob = self.gix.find_blob(id).map_err(self.failed("find the file"))?;
        Ok(blob.take_data())
    }
}
