//! Fetchers: trees and files from where a flake reference or an address says, by lock and by hash.
//!
//! **Layer.** Above `store`, into which everything is fetched; below what evaluates and builds. [`Fetcher::tree`] gets
//! the tree of a [flake reference](nix_formats::flake_ref), [`Fetcher::tarball`] and [`Fetcher::file`] what is at an
//! address; [`lock`] pins the inputs of a flake. The same tree gives the same NAR hash, and the same `sourceInfo`, as
//! in Nix.
//!
//! **It must never know** the language that a `flake.nix` is written in (the caller reads the inputs for [`lock`]), nor
//! the environment: the cache's directory, access tokens and hosts are given in [`Settings`].
//!
//! [`open_cache`] reaches binary caches, for `store::cache`. What comes from elsewhere is untrusted: archives cannot write
//! outside of the directory that they are unpacked to, and where a hash is known nothing is kept that does not have it.
//! Git repositories on other machines are fetched by the program `git`, which has the environment of this process.

mod archive;
mod cache;
mod caches;
mod download;
mod error;
mod forge;
mod git;
pub mod lock;
mod network;
mod path;
mod reference;
mod registry;
mod state;
mod tarball;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use nix_formats::flake_ref::{FlakeRef, Scheme};
use nix_formats::store_path::{StorePath, source_path};
use store::Store;
use store::cache::Substituters;
use store::progress::Progress;

pub use archive::unpack;
pub use caches::{Aws, CacheSettings, OpenCache, Tokens, open_cache};
pub use error::FetchError;
pub use git::GitProgram;
pub use network::{Netrc, Network, NetworkSettings};
pub use reference::{locate, shown};
pub use registry::{Asker, Registries, Registry};
pub use state::TreeState;
pub use tree::Tree;

/// What the caller decides about fetching.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where downloads and what is known of them are kept.
    pub cache: PathBuf,
    /// Use the cache and the store only.
    pub offline: bool,
    /// How long what a server said of a branch or an address is taken to be true: Nix's `tarball-ttl`.
    pub lifetime: Lifetime,
    /// The program that fetches git repositories from other machines.
    pub git: GitProgram,
    /// Where a forge is reached, by its host as references name it (`github.com`, `git.example.org`): the base of its
    /// programming interface. Hosts that are not here are reached where that kind of forge usually has it.
    pub forges: BTreeMap<String, String>,
    /// Access tokens, by the host that they are for, or by the host and the beginning of a path there
    /// (`github.com/owner`).
    pub access_tokens: Tokens,
    /// How servers are spoken to.
    pub network: Arc<Network>,
    /// What references by a name alone mean.
    pub registries: Registries,
}

/// A time in seconds, an hour if nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub u64);

impl Default for Lifetime {
    fn default() -> Self {
        Self(3600)
    }
}

/// Fetches into a store.
pub struct Fetcher {
    store: Arc<dyn Store>,
    progress: Arc<dyn Progress>,
    settings: Settings,
    substituters: Option<Arc<Substituters>>,
}

impl Fetcher {
    /// A fetcher into `store`.
    pub fn new(store: Arc<dyn Store>, progress: Arc<dyn Progress>, settings: Settings) -> Self {
        Self { store, progress, settings, substituters: None }
    }

    /// What has a known hash is taken from these binary caches first, as far as somebody has named them.
    pub fn with_substituters(mut self, substituters: Arc<Substituters>) -> Self {
        self.substituters = Some(substituters);
        self
    }

    /// The tree that a reference means, in the store, and the reference that always means this tree.
    ///
    /// `name` is the name of the store object, `source` for a flake. If the reference has a `narHash`, the tree must
    /// have it, and is not fetched again if it is in the store.
    pub fn tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        if let Some(tree) = self.known_tree(reference, name)? {
            return Ok(tree);
        }
        let tree = match reference.scheme() {
            Scheme::Path => self.path_tree(reference, name)?,
            Scheme::Git => self.git_tree(reference, name)?,
            Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut => self.forge_tree(reference, name)?,
            Scheme::Tarball => self.tarball_tree(reference, name)?,
            Scheme::File => self.file_tree(reference, name)?,
            Scheme::Indirect => self.tree(&self.resolve(reference, Asker::Flake)?, name)?,
            Scheme::Mercurial => {
                let reason = "Mercurial repositories cannot be fetched; use an archive of the revision";
                return Err(FetchError::Unsupported { what: shown(reference), reason });
            }
        };
        tree.check(reference)?;
        Ok(tree)
    }

    /// The tree of a locked reference, if the store has it: then nothing needs to be fetched.
    fn known_tree(&self, reference: &FlakeRef, name: &str) -> Result<Option<Tree>, FetchError> {
        if !reference.is_locked() {
            return Ok(None);
        }
        let Some(hash) = reference.nar_hash() else { return Ok(None) };
        let path = source_path(name, &hash, [], false)?;
        Ok(self.obtain(&path)?.then(|| Tree { path, locked: reference.clone() }))
    }

    /// Whether an object is in the store, or could be taken from a binary cache.
    pub(crate) fn obtain(&self, path: &StorePath) -> Result<bool, FetchError> {
        if self.is_kept(path)? {
            return Ok(true);
        }
        let Some(caches) = self.substituters.as_ref().filter(|caches| caches.has_named()) else { return Ok(false) };
        if caches.find(path, false, &*self.progress).is_none() {
            return Ok(false);
        }
        match caches.take([path.clone()], &*self.store, &*self.progress) {
            Ok(_) => Ok(true),
            // Where it comes from at first will have it.
            Err(error) => {
                self.progress.warn(&error.to_string());
                Ok(false)
            }
        }
    }
}
