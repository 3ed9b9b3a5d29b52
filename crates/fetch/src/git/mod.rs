//! `git` references to repositories on this machine.
//!
//! Without a branch or a commit the reference means the working tree: the files that git tracks, as they are now. If
//! they are as they were committed, that is the commit; else the tree is dirty, and is not locked.

mod export;
mod worktree;

use std::path::{Path, PathBuf};

use gix::ObjectId;
use nix_formats::content_address::Method;
use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::{FileKind, everything};
use store::progress::{Activity, Outcome, Task};

use crate::state::{Look, TreeState};
use crate::tree::short;
use crate::{FetchError, Fetcher, Tree};
use worktree::Worktree;

/// An open repository.
pub(crate) struct Repository {
    gix: gix::Repository,
    path: PathBuf,
}

/// A commit, and what is known of it.
pub(crate) struct Commit {
    id: ObjectId,
    tree: ObjectId,
    time: u64,
}

impl Repository {
    fn open(path: &Path) -> Result<Self, FetchError> {
        // Neither the user's configuration nor the environment may change what a tree is.
        let options = gix::open::Options::isolated();
        let gix = gix::open_opts(path, options).map_err(|error| FetchError::Git {
            action: "find the objects",
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self { gix, path: path.to_owned() })
    }

    /// For `map_err`.
    fn failed<E: std::fmt::Display>(&self, action: &'static str) -> impl FnOnce(E) -> FetchError {
        let path = self.path.clone();
        move |error| FetchError::Git { action, path, message: error.to_string() }
    }

    /// The commit that is checked out; `None` in a repository without commits.
    fn head(&self) -> Result<Option<Commit>, FetchError> {
        let head = self.gix.head().map_err(self.failed("read HEAD"))?;
        let id = head.try_into_peeled_id().map_err(self.failed("read HEAD"))?;
        id.map(|id| self.commit(id.detach())).transpose()
    }

    fn commit(&self, id: ObjectId) -> Result<Commit, FetchError> {
        let commit = self.gix.find_commit(id).map_err(self.failed("find the commit"))?;
        let tree = commit.tree_id().map_err(self.failed("read the commit"))?.detach();
        let time = commit.committer().and_then(|committer| committer.time()).map_err(self.failed("read the commit"))?;
        Ok(Commit { id, tree, time: u64::try_from(time.seconds).unwrap_or(0) })
    }

    /// The commit of a branch, a tag or any other name.
    fn named(&self, name: &str) -> Result<Commit, FetchError> {
        let mut reference = self.gix.find_reference(name).map_err(self.failed("find the branch or tag"))?;
        let id = reference.peel_to_id().map_err(self.failed("read the branch or tag"))?;
        self.commit(id.detach())
    }

    /// How many commits lead to this one, itself included.
    fn count(&self, commit: &Commit) -> Result<u64, FetchError> {
        let walk = self.gix.rev_walk([commit.id]).all().map_err(self.failed("count the commits"))?;
        let mut count = 0;
        for step in walk {
            step.map_err(self.failed("count the commits"))?;
            count += 1;
        }
        Ok(count)
    }
}

impl Fetcher {
    pub(crate) fn git_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let unsupported = |reason| FetchError::Unsupported { what: reference.to_string(), reason };
        for (flag, reason) in [
            ("submodules", "submodules are not fetched; make them inputs of their own"),
            ("lfs", "files of git LFS are not fetched"),
            ("exportIgnore", "the attribute 'export-ignore' is not honoured"),
            ("verifyCommit", "signatures of commits are not verified"),
        ] {
            if reference.flag(flag) {
                return Err(unsupported(reason));
            }
        }
        let path = local_path(reference.text("url").unwrap_or_default()).ok_or_else(|| {
            unsupported("git repositories are read from this machine only; use 'github:', 'gitlab:' or an archive")
        })?;
        let repository = Repository::open(&path)?;
        if reference.text("rev").is_none() && reference.text("ref").is_none() && !repository.gix.is_bare() {
            return self.working_tree(&repository, reference, name);
        }
        let commit = match (reference.text("rev"), reference.text("ref")) {
            (Some(rev), _) => {
                let id = ObjectId::from_hex(rev.as_bytes()).map_err(repository.failed("read the commit hash"))?;
                repository.commit(id)?
            }
            (None, Some(branch)) => repository.named(branch)?,
            (None, None) => repository.head()?.ok_or_else(|| unsupported("the repository has no commit"))?,
        };
        let path = self.committed(&repository, &commit, name)?;
        self.commit_tree(&repository, &commit, reference, path)
    }

    /// What a reference to a repository on this machine means at present: a commit, or files that differ from it.
    pub(crate) fn git_state(&self, reference: &FlakeRef) -> Result<Option<TreeState>, FetchError> {
        let Some(path) = local_path(reference.text("url").unwrap_or_default()) else { return Ok(None) };
        let repository = Repository::open(&path)?;
        let mut look = Look::default();
        if reference.text("rev").is_some() {
            return Ok(Some(look.finish()));
        }
        if let Some(branch) = reference.text("ref") {
            look.note(repository.named(branch)?.id.as_bytes());
            return Ok(Some(look.finish()));
        }
        if repository.gix.is_bare() {
            let head = repository.head()?;
            look.note(head.as_ref().map_or(&[], |head| head.id.as_bytes()));
            return Ok(Some(look.finish()));
        }
        let worktree = Worktree::read(&repository)?;
        look.note(worktree.head.as_ref().map_or(&[], |head| head.id.as_bytes()));
        // Git itself has seen to it that a tree which is not dirty is that of the commit.
        if worktree.is_dirty || worktree.head.is_none() {
            worktree.files().try_for_each(|file| look.file(&file).map(drop))?;
        }
        Ok(Some(look.finish()))
    }

    fn working_tree(&self, repository: &Repository, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let worktree = Worktree::read(repository)?;
        if let (false, Some(head)) = (worktree.is_dirty, &worktree.head) {
            let path = if worktree.is_exact {
                self.cached_commit(head, name, || self.copy_tracked(&worktree, name))?
            } else {
                self.committed(repository, head, name)?
            };
            return self.commit_tree(repository, head, reference, path);
        }
        let path = self.copy_tracked(&worktree, name)?;
        let mut locked = reference.clone();
        if let Some(head) = &worktree.head {
            let rev = head.id.to_string();
            locked = locked
                .with("dirtyRev", Some(format!("{rev}-dirty").into()))
                .with("dirtyShortRev", Some(format!("{}-dirty", short(&rev)).into()));
        }
        let time = worktree.head.as_ref().map_or(0, |head| head.time);
        self.tree_of(path, locked, Some(time))
    }

    fn commit_tree(
        &self,
        repository: &Repository,
        commit: &Commit,
        reference: &FlakeRef,
        path: StorePath,
    ) -> Result<Tree, FetchError> {
        let mut locked = reference.clone().with("rev", Some(commit.id.to_string().into()));
        let is_shallow = repository.gix.is_shallow().map_err(repository.failed("read the depth"))?;
        if is_shallow && !reference.flag("shallow") {
            let reason = "the repository is shallow; add 'shallow=1' to the reference";
            return Err(FetchError::Unsupported { what: reference.to_string(), reason });
        }
        if !is_shallow {
            let count = self.cached_number(&format!("git-commits-{}", commit.id), || repository.count(commit))?;
            locked = locked.with("revCount", Some(count.into()));
        }
        self.tree_of(path, locked, Some(commit.time))
    }

    /// The tree of a commit, from the repository's objects.
    fn committed(&self, repository: &Repository, commit: &Commit, name: &str) -> Result<StorePath, FetchError> {
        self.cached_commit(commit, name, || {
            let scratch = self.scratch()?;
            let tree = scratch.path().join("tree");
            export::export(repository, commit.tree, &tree)?;
            let task = Task::start(&*self.progress, Activity::Copy, &repository.path.to_string_lossy(), None);
            let path = self.store.add_tree(name, &tree, Method::Nar, HashAlgo::Sha256, &mut everything)?;
            task.finish(Outcome::Done);
            store::fs_nar::remove(&tree)?;
            Ok(path)
        })
    }

    /// What a commit's tree is in the store, if that is known; else `make` says it.
    fn cached_commit(
        &self,
        commit: &Commit,
        name: &str,
        make: impl FnOnce() -> Result<StorePath, FetchError>,
    ) -> Result<StorePath, FetchError> {
        self.cached_path(&format!("git-tree-{}-{name}", commit.tree), make)
    }

    fn copy_tracked(&self, worktree: &Worktree, name: &str) -> Result<StorePath, FetchError> {
        let root = &worktree.root;
        let task = Task::start(&*self.progress, Activity::Copy, &root.to_string_lossy(), None);
        let mut filter = |path: &Path, kind: FileKind| {
            let below = path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes();
            Ok(worktree.takes(below, kind))
        };
        let path = self.store.add_tree(name, root, Method::Nar, HashAlgo::Sha256, &mut filter)?;
        task.finish(Outcome::Done);
        Ok(path)
    }
}

/// The path of a repository on this machine: `file://…`, or a path as it is.
fn local_path(url: &str) -> Option<PathBuf> {
    if url.starts_with('/') {
        return Some(PathBuf::from(url));
    }
    url::Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}
