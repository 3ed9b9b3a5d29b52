//! References to a working tree.

use std::path::Path;

use nix_formats::content_address::Method;
use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::fs_nar::FileKind;
use store::progress::{Activity, Outcome, Task};

use super::worktree::Worktree;
use super::{Found, Options, Repository, checked_out, local_path};
use crate::state::{Look, TreeState};
use crate::tree::short;
use crate::{FetchError, Fetcher, Tree};

impl Fetcher {
    pub(super) fn working_tree(
        &self,
        repository: Repository,
        reference: &FlakeRef,
        options: Options,
        name: &str,
    ) -> Result<Tree, FetchError> {
        let mut worktree = Worktree::read(&repository, options)?;
        if !worktree.is_dirty
            && let Some(commit) = worktree.head.take()
        {
            let branch = repository.head_branch()?;
            let found = Found { repository, commit, branch, is_remote: false };
            let path = if worktree.is_exact {
                self.cached_commit(&found.commit, options, name, || self.copy_tracked(&worktree, name))?
            } else {
                self.committed(&found, options, name)?
            };
            return self.commit_tree(&found, reference, path);
        }
        let path = self.copy_tracked(&worktree, name)?;
        let mut locked = reference.clone();
        if let Some(head) = &worktree.head {
            let rev = head.id.to_string();
            locked = locked
                .with("dirtyRev", Some(format!("{rev}-dirty").into()))
                .with("dirtyShortRev", Some(format!("{}-dirty", short(&rev)).into()));
        }
        self.tree_of(path, locked, Some(worktree.head.map_or(0, |head| head.time)))
    }

    /// What a reference to a repository on this machine means at present: a commit, or files that differ from it.
    pub(crate) fn git_state(&self, reference: &FlakeRef) -> Result<Option<TreeState>, FetchError> {
        let Some(path) = local_path(reference.text("url").unwrap_or_default()) else { return Ok(None) };
        let mut look = Look::default();
        let Some(repository) = checked_out(reference)? else {
            if reference.text("rev").is_none() {
                let repository = Repository::open(&path)?;
                let commit = match reference.text("ref") {
                    Some(branch) => Some(repository.named(branch)?),
                    None => repository.head()?,
                };
                look.note(commit.as_ref().map_or(&[], |commit| commit.id.as_bytes()));
            }
            return Ok(Some(look.finish()));
        };
        let worktree = Worktree::read(&repository, Options::of(reference))?;
        look.note(worktree.head.as_ref().map_or(&[], |head| head.id.as_bytes()));
        // Git itself has seen to it that a tree which is not dirty is that of the commit.
        if worktree.is_dirty || worktree.head.is_none() {
            worktree.files().iter().try_for_each(|file| look.file(file).map(drop))?;
        }
        Ok(Some(look.finish()))
    }

    fn copy_tracked(&self, worktree: &Worktree, name: &str) -> Result<StorePath, FetchError> {
        worktree.check_whole()?;
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
