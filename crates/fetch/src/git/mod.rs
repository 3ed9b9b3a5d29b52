//! `git` references: repositories on this machine, and on others.
//!
//! To a repository on this machine a reference without a branch or a commit means the working tree: the files that git
//! tracks, as they are now. If they are as they were committed, that is the commit; else the tree is dirty, and is not
//! locked. What is on other machines is fetched into the cache first, by the git program; all reading is done here.

mod attributes;
mod export;
mod lfs;
mod mirror;
mod program;
mod repository;
mod submodules;
mod transfer;
mod working_tree;
mod worktree;

use std::path::PathBuf;

use nix_formats::content_address::Method;
use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::everything;
use store::progress::{Activity, Outcome, Task};
use url::Url;

use crate::reference::shown;
use crate::{FetchError, Fetcher, Tree};
use export::Exporter;
use repository::{Commit, Repository};

pub use program::GitProgram;

/// How a commit becomes files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Leave out what archives leave out.
    export_ignore: bool,
    /// Put the contents of large files in the place of their pointers.
    lfs: bool,
    /// Take the files of submodules too.
    submodules: bool,
    /// Fetch submodules without their history.
    shallow: bool,
    /// The repository is on another machine.
    is_remote: bool,
    /// How many repositories this one is in.
    depth: usize,
}

impl Options {
    fn of(reference: &FlakeRef) -> Self {
        Self {
            export_ignore: reference.flag("exportIgnore"),
            lfs: reference.flag("lfs"),
            submodules: reference.flag("submodules"),
            shallow: reference.flag("shallow"),
            is_remote: false,
            depth: 0,
        }
    }

    /// What tells results of one commit apart.
    fn suffix(self) -> String {
        let letters = [(self.submodules, ";s"), (self.export_ignore, ";e"), (self.lfs, ";l")];
        letters.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect()
    }
}

/// The commit that a reference means, in a repository that is on this machine now.
struct Found {
    repository: Repository,
    commit: Commit,
    /// The branch or tag, as far as it is known.
    branch: Option<String>,
    is_remote: bool,
}

impl Fetcher {
    pub(crate) fn git_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        check(reference)?;
        let options = Options::of(reference);
        if let Some(repository) = checked_out(reference)? {
            return self.working_tree(repository, reference, options, name);
        }
        let found = self.git_commit(reference)?;
        let options = Options { is_remote: found.is_remote, ..options };
        let path = self.committed(&found, options, name)?;
        self.commit_tree(&found, reference, path)
    }

    /// Finds the commit that a reference with a branch or a commit, or to another machine, means.
    fn git_commit(&self, reference: &FlakeRef) -> Result<Found, FetchError> {
        let url = reference.text("url").unwrap_or_default();
        let Some(path) = local_path(url) else {
            let scheme = Url::parse(url).map(|url| url.scheme().to_owned()).unwrap_or_default();
            // Others are programs that git would start, or of no use any more.
            if !matches!(scheme.as_str(), "http" | "https" | "ssh" | "git") {
                let reason = "git repositories are reached by 'https:', 'http:', 'ssh:', 'git:' and 'file:'";
                return Err(FetchError::Unsupported { what: shown(reference), reason });
            }
            let found = self.mirrored(reference, url)?;
            return Ok(Found {
                repository: found.repository,
                commit: found.commit,
                branch: found.branch,
                is_remote: true,
            });
        };
        let repository = Repository::open(&path)?;
        let branch = reference.text("ref").map(str::to_owned);
        let commit = match (reference.text("rev"), &branch) {
            (Some(rev), _) => repository.commit_of(rev)?,
            (None, Some(branch)) => repository.named(branch)?,
            (None, None) => repository.head()?.ok_or_else(|| {
                let reason = "the repository has no commit";
                FetchError::Unsupported { what: shown(reference), reason }
            })?,
        };
        let branch = match branch {
            Some(branch) => Some(branch),
            None => repository.head_branch()?,
        };
        Ok(Found { repository, commit, branch, is_remote: false })
    }

    /// A commit's tree, locked to it.
    fn commit_tree(&self, found: &Found, reference: &FlakeRef, path: StorePath) -> Result<Tree, FetchError> {
        let Found { repository, commit, .. } = found;
        let mut locked = reference.clone().with("rev", Some(commit.id.to_string().into()));
        if let (None, Some(branch)) = (reference.text("ref"), &found.branch) {
            locked = locked.with("ref", Some(branch.clone().into()));
        }
        if !reference.flag("shallow") && reference.number("revCount").is_none() {
            if repository.is_shallow()? {
                let reason = "the repository is shallow; add 'shallow=1' to the reference";
                return Err(FetchError::Unsupported { what: shown(reference), reason });
            }
            let count = self.cached_number(&format!("git-commits-{}", commit.id), || repository.count(commit))?;
            locked = locked.with("revCount", Some(count.into()));
        }
        let time = reference.number("lastModified").unwrap_or(commit.time);
        self.tree_of(path, locked, Some(time))
    }

    /// The tree of a commit, from the repository's objects.
    fn committed(&self, found: &Found, options: Options, name: &str) -> Result<StorePath, FetchError> {
        let Found { repository, commit, branch, .. } = found;
        self.cached_commit(commit, options, name, || {
            let scratch = self.scratch()?;
            let tree = scratch.path().join("tree");
            let written = Exporter::new(self, repository, commit, branch.as_deref(), options)
                .and_then(|mut exporter| exporter.write(commit.tree, &tree));
            let path = written.and_then(|()| {
                let task = Task::start(&*self.progress, Activity::Copy, &repository.path.to_string_lossy(), None);
                let path = self.store.add_tree(name, &tree, Method::Nar, HashAlgo::Sha256, &mut everything)?;
                task.finish(Outcome::Done);
                Ok(path)
            });
            // Its directories may not be written to; the deletion of the scratch would fail.
            if tree.symlink_metadata().is_ok() {
                store::fs_nar::remove(&tree)?;
            }
            path
        })
    }

    /// What a commit's tree is in the store, if that is known; else `make` says it.
    fn cached_commit(
        &self,
        commit: &Commit,
        options: Options,
        name: &str,
        make: impl FnOnce() -> Result<StorePath, FetchError>,
    ) -> Result<StorePath, FetchError> {
        self.cached_path(&format!("git-tree-{}-{name}{}", commit.tree, options.suffix()), make)
    }
}

/// Refuses what is not done.
fn check(reference: &FlakeRef) -> Result<(), FetchError> {
    let unsupported = |reason| Err(FetchError::Unsupported { what: shown(reference), reason });
    if ["publicKey", "publicKeys"].iter().any(|name| reference.text(name).is_some()) || reference.flag("verifyCommit") {
        return unsupported("signatures of commits are not verified");
    }
    if reference.flag("exportIgnore") && reference.flag("submodules") {
        return unsupported("'exportIgnore' and 'submodules' do not go together");
    }
    Ok(())
}

/// The repository whose working tree a reference means, if it means one.
fn checked_out(reference: &FlakeRef) -> Result<Option<Repository>, FetchError> {
    if reference.text("rev").is_some() || reference.text("ref").is_some() {
        return Ok(None);
    }
    let Some(path) = local_path(reference.text("url").unwrap_or_default()) else { return Ok(None) };
    let repository = Repository::open(&path)?;
    Ok((!repository.gix.is_bare()).then_some(repository))
}

/// The path of a repository on this machine: `file://…`, or a path as it is.
fn local_path(url: &str) -> Option<PathBuf> {
    crate::download::file_path(url)
}
