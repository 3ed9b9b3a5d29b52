//! Fetching for the evaluator: the builtins that fetch, and flakes with their locks.

use std::path::{Path, PathBuf};

use eval::{FetchRequest, FetchValue, Fetched, Fetcher as Builtin, HostError, LockedFlake};
use fetch::lock::LockOptions;
use fetch::{Fetcher, Tree, TreeState};
use nix_formats::flake_ref::{Attr, Attrs, FlakeRef, Scheme};
use nix_formats::hash::{Hash, HashAlgo};

use crate::flake_inputs::read_inputs;

/// The name that sources have in the store.
const SOURCE: &str = "source";

/// Fetches what expressions ask for.
pub(crate) struct Inputs<'a> {
    pub(crate) fetcher: &'a Fetcher,
    /// Where relative references begin.
    pub(crate) directory: &'a Path,
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
                Ok(fetched(&self.fetcher.tree(&reference, name).map_err(failed)?, true))
            }
            Builtin::Tree => {
                let tree = self.fetcher.tree(&tree_reference(request)?, name).map_err(failed)?;
                Ok(fetched(&tree, false))
            }
            Builtin::Mercurial => {
                Err(HostError::Failed("Mercurial repositories cannot be fetched; use an archive".to_owned()))
            }
        }
    }

    /// `fetchGit` takes a plain path where a reference has an address.
    fn git_reference(&self, request: &FetchRequest, url: &str) -> Result<FlakeRef, HostError> {
        let mut attrs = reference_attrs(request, &["name", "url"]);
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("file://{}", self.directory.join(url).display()),
        };
        attrs.insert("type".to_owned(), "git".into());
        attrs.insert("url".to_owned(), url.into());
        FlakeRef::from_attrs(attrs).map_err(failed)
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
    pub(crate) fn lock_flake(&self, text: &str) -> Result<LockedFlake, HostError> {
        let (reference, fragment) = fetch::locate(self.directory, text).map_err(failed)?;
        if !fragment.is_empty() {
            return Err(HostError::Failed(format!("'{text}' names an output, but a flake is wanted here")));
        }
        let tree = self.fetcher.tree(&reference, SOURCE).map_err(failed)?;
        let dir = reference.dir().to_owned();
        let locked =
            fetch::lock::lock(self.fetcher, &tree, &dir, &read_inputs, &LockOptions::default()).map_err(failed)?;
        let text = locked.lock.print();
        if locked.is_changed() && locked.unlocked().is_none() {
            self.save(&reference, &text)?;
        }
        let sources = locked.trees.iter().map(|(key, tree)| {
            let dir = match locked.lock.nodes.get(key).and_then(|node| node.lock.as_ref()) {
                Some(lock) => lock.locked.dir().to_owned(),
                None => dir.clone(),
            };
            (key.clone(), fetched(tree, false), dir)
        });
        Ok(LockedFlake { lock_file: text, sources: sources.collect() })
    }

    /// Writes the lock beside the `flake.nix` of a directory of the user's; another flake's lock is only used.
    fn save(&self, reference: &FlakeRef, lock: &str) -> Result<(), HostError> {
        let directory = match (reference.scheme(), reference.text("path"), reference.text("url")) {
            (Scheme::Path, Some(path), _) => PathBuf::from(path),
            (Scheme::Git, _, Some(url)) if reference.text("rev").is_none() => match url.strip_prefix("file://") {
                Some(path) => PathBuf::from(path),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        let file = directory.join(reference.dir()).join("flake.lock");
        let write = || -> std::io::Result<()> {
            let mut temporary = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
            std::io::Write::write_all(&mut temporary, lock.as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            temporary.as_file().set_permissions(mode)?;
            temporary.persist(&file)?;
            Ok(())
        };
        match write() {
            Ok(()) => (self.notify)(&format!("wrote '{}': new inputs were locked", file.display())),
            Err(error) => {
                (self.notify)(&format!("inputs were locked, but '{}' cannot be written: {error}", file.display()))
            }
        }
        Ok(())
    }
}

/// What `fetchTree` fetches: an address, or the attributes of a reference.
fn tree_reference(request: &FetchRequest) -> Result<FlakeRef, HostError> {
    let reference = match (request.attrs.get("type"), request.attrs.get("url")) {
        (None, Some(FetchValue::String(url))) => FlakeRef::parse(url),
        _ => FlakeRef::from_attrs(reference_attrs(request, &["name"])),
    };
    reference.map_err(failed)
}

/// The attributes of a request as those of a reference, but for some.
fn reference_attrs(request: &FetchRequest, without: &[&str]) -> Attrs {
    let taken = request.attrs.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    taken
        .map(|(name, value)| {
            let attr = match value {
                FetchValue::String(text) => Attr::from(text.clone()),
                FetchValue::Bool(flag) => Attr::Bool(*flag),
                FetchValue::Int(number) => Attr::Int(number.unsigned_abs()),
            };
            (name.clone(), attr)
        })
        .collect()
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
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    HostError::Failed(text)
}
