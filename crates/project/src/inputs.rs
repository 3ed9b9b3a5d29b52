//! Fetching for the evaluator: the builtins that fetch, and flakes with their locks.

use std::collections::BTreeMap;
use std::path::Path;

use eval::{FetchRequest, FetchValue, Fetched, Fetcher as Builtin, HostError, LockedFlake};
use fetch::lock::LockOptions;
use fetch::{Fetcher, Tree, TreeState};
use nix_formats::flake_ref::{Attr, Attrs, FlakeRef, git_url};
use nix_formats::hash::{Hash, HashAlgo};

use crate::locks::{self, LockSettings, LockedTree};

/// The name that sources have in the store.
const SOURCE: &str = "source";

/// Fetches what expressions ask for.
pub(crate) struct Inputs<'a> {
    pub(crate) fetcher: &'a Fetcher,
    /// Where relative references begin.
    pub(crate) directory: &'a Path,
    /// Whether the evaluation may depend on nothing that changes.
    pub(crate) pure: bool,
    /// Hears of lock files that were written.
    pub(crate) notify: &'a dyn Fn(&str),
}

impl Inputs<'_> {
    pub(crate) fn fetch(&self, request: &FetchRequest) -> Result<Fetched, HostError> {
        let text = |name: &str| match request.attrs.get(name) {
            Some(FetchValue::String(value)) => Some(value.as_str()),
            _ => None,
        };
        let url = || text("url").ok_or_else(|| HostError::Failed("fetching needs the attribute 'url'".to_owned()));
        let expected = text("sha256").or(text("hash")).map(parse_hash).transpose()?;
        let name = text("name").unwrap_or(SOURCE);
        match request.fetcher {
            Builtin::Url => {
                let url = url()?;
                let name = text("name").unwrap_or_else(|| url.rsplit('/').next().unwrap_or(SOURCE));
                let path = self.fetcher.file(url, name, expected.as_ref()).map_err(failed)?;
                Ok(Fetched { path, attrs: Vec::new() })
            }
            Builtin::Tarball => {
                let path = self.fetcher.tarball(url()?, name, expected.as_ref()).map_err(failed)?;
                Ok(Fetched { path, attrs: Vec::new() })
            }
            Builtin::Git => {
                let reference = self.git_reference(request, url()?)?;
                self.check_pure("fetchGit", &reference)?;
                Ok(fetched(&self.fetcher.tree(&reference, name).map_err(failed)?, true))
            }
            Builtin::Tree => {
                let reference = tree_reference(request)?;
                self.check_pure("fetchTree", &reference)?;
                let tree = self.fetcher.tree(&reference, name).map_err(failed)?;
                Ok(fetched(&tree, false))
            }
            Builtin::Mercurial => {
                Err(HostError::Failed("Mercurial repositories cannot be fetched; use an archive".to_owned()))
            }
        }
    }

    /// `fetchGit` takes a path where a reference has an address, and leaves out what archives leave out.
    fn git_reference(&self, request: &FetchRequest, url: &str) -> Result<FlakeRef, HostError> {
        let mut attrs = reference_attrs(request, &["name", "url"])?;
        let local = || self.directory.join(url).display().to_string();
        let url = git_url(url).or_else(|_| git_url(&local())).map_err(HostError::Failed)?;
        attrs.insert("type".to_owned(), "git".into());
        attrs.insert("url".to_owned(), url.into());
        if attrs.get("submodules") != Some(&Attr::Bool(true)) {
            attrs.entry("exportIgnore".to_owned()).or_insert(true.into());
        }
        FlakeRef::from_attrs(attrs).map_err(failed)
    }

    /// A pure evaluation fetches only what is always the same.
    fn check_pure(&self, builtin: &str, reference: &FlakeRef) -> Result<(), HostError> {
        if !self.pure || reference.is_locked() || reference.nar_hash().is_some() {
            return Ok(());
        }
        Err(HostError::Refused(format!(
            "in pure evaluation, '{builtin}' does not fetch '{}', which may change: name a commit ('rev') or a \
             'narHash' (--impure lifts this)",
            fetch::shown(reference)
        )))
    }

    /// How the tree that a request fetches looks, if it is on this machine.
    pub(crate) fn fetch_state(&self, request: &FetchRequest) -> Option<TreeState> {
        let reference = match (request.fetcher, request.attrs.get("url")) {
            (Builtin::Tree, _) => tree_reference(request).ok()?,
            (Builtin::Git, Some(FetchValue::String(url))) => self.git_reference(request, url).ok()?,
            _ => return None,
        };
        self.state(&reference)
    }

    /// How the tree of a flake looks, if it is on this machine.
    pub(crate) fn flake_state(&self, text: &str) -> Option<TreeState> {
        self.state(&fetch::locate(self.directory, text).ok()?.0)
    }

    fn state(&self, reference: &FlakeRef) -> Option<TreeState> {
        let state = self.fetcher.state(reference).ok()??;
        Some(TreeState { digest: format!("{reference} {}", state.digest), ..state })
    }

    /// Fetches a flake, completes its lock, and says where its sources are.
    pub(crate) fn lock_flake(&self, text: &str, settings: &LockSettings) -> Result<LockedFlake, HostError> {
        let (located, fragment) = fetch::locate(self.directory, text).map_err(failed)?;
        if !fragment.is_empty() {
            return Err(HostError::Failed(format!("'{text}' names an output, but a flake is wanted here")));
        }
        // What the command line says is of the flake that it names, not of those that are pinned in expressions.
        let overrides = if located.is_locked() { BTreeMap::new() } else { settings.overrides.clone() };
        let options = LockOptions { overrides, ..LockOptions::default() };
        let tree = locks::locked(self.fetcher, &located, &options).map_err(failed)?;
        if tree.locked.is_changed() {
            self.complete(text, &tree, settings)?;
        }
        let LockedTree { reference, locked } = tree;
        let sources = locked.trees.iter().map(|(key, tree)| {
            let dir = match locked.lock.nodes.get(key).and_then(|node| node.lock.as_ref()) {
                Some(lock) => lock.locked.dir().to_owned(),
                None => reference.dir().to_owned(),
            };
            (key.clone(), fetched(tree, false), dir)
        });
        Ok(LockedFlake { lock_file: locked.lock.print(), sources: sources.collect() })
    }

    /// Deals with a lock file that is not as it should be.
    fn complete(&self, text: &str, tree: &LockedTree, settings: &LockSettings) -> Result<(), HostError> {
        if !settings.complete {
            let message = format!(
                "the lock file of '{text}' lacks inputs or has others, and may not be changed (--no-update-lock-file); \
                 `wharf lock` completes it"
            );
            return Err(HostError::Failed(message));
        }
        let file = tree.file().filter(|_| settings.write && settings.overrides.is_empty());
        if let Some(file) = file
            && tree.locked.unlocked().is_none()
        {
            match tree.save(self.fetcher, &file) {
                Ok(()) => (self.notify)(&format!("wrote '{}': new inputs were locked", file.display())),
                Err(problem) => (self.notify)(&format!("inputs were locked, but {problem}")),
            }
        }
        Ok(())
    }
}

/// What `fetchTree` fetches: an address, or the attributes of a reference.
fn tree_reference(request: &FetchRequest) -> Result<FlakeRef, HostError> {
    let reference = match (request.attrs.get("type"), request.attrs.get("url")) {
        (None, Some(FetchValue::String(url))) => FlakeRef::parse(url),
        _ => {
            let mut attrs = reference_attrs(request, &["name"])?;
            // The history of what is fetched for its files is of no use.
            if attrs.get("type") == Some(&Attr::from("git")) {
                attrs.entry("shallow".to_owned()).or_insert(true.into());
            }
            FlakeRef::from_attrs(attrs)
        }
    };
    reference.map_err(failed)
}

/// The attributes of a request as those of a reference, but for some.
fn reference_attrs(request: &FetchRequest, without: &[&str]) -> Result<Attrs, HostError> {
    let taken = request.attrs.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    let attrs = taken.map(|(name, value)| {
        let attr = match value {
            FetchValue::String(text) => Attr::from(text.clone()),
            FetchValue::Bool(flag) => Attr::Bool(*flag),
            FetchValue::Int(number) => Attr::Int(
                u64::try_from(*number)
                    .map_err(|_| HostError::Failed(format!("the attribute '{name}' cannot be {number}")))?,
            ),
        };
        Ok((name.clone(), attr))
    });
    attrs.collect()
}

/// A tree as the evaluator takes it.
pub(crate) fn fetched(tree: &Tree, rev_if_none: bool) -> Fetched {
    let attrs = tree.attributes(rev_if_none).into_iter().map(|(name, attr)| {
        let value = match attr {
            Attr::String(text) => FetchValue::String(text),
            Attr::Bool(flag) => FetchValue::Bool(flag),
            Attr::Int(number) => FetchValue::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        };
        (name.to_owned(), value)
    });
    Fetched { path: tree.path.clone(), attrs: attrs.collect() }
}

fn parse_hash(text: &str) -> Result<Hash, HostError> {
    Hash::parse(text, Some(HashAlgo::Sha256)).or_else(|_| Hash::parse(text, None)).map_err(failed)
}

pub(crate) fn failed(error: impl std::error::Error) -> HostError {
    HostError::Failed(in_words(&error))
}

/// An error and what caused it, in one sentence.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
