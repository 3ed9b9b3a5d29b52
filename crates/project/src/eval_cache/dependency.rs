//! What an evaluation asked of the world, and whether the world would still give the same answer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use eval::{FetchRequest, FetchValue, Fetcher, FileType, Host, HostError};
use fetch::TreeState;
use nix_formats::content_address::Method;
use nix_formats::store_path::StorePath;
use serde::{Deserialize, Serialize};

use super::stamp::{Moment, Stamp};
use super::tree::{Looking, TreeLook};
use crate::embedded;
use crate::host::ProjectHost;
use crate::sources;

/// A question to the world, with its answer. Contents are kept as their hashes, variables too: they may be secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Dependency {
    /// The content of a file.
    File { path: PathBuf, stamp: Stamp, hash: String },
    /// The entries of a directory.
    Directory { path: PathBuf, stamp: Stamp, hash: String },
    /// What is at a path, `None` if nothing was.
    Kind { path: PathBuf, kind: Option<String> },
    /// Where a symbolic link leads.
    Link { path: PathBuf, target: PathBuf },
    /// An environment variable.
    Variable { name: String, hash: Option<String> },
    /// A tree that was copied into the store.
    Source(Box<Source>),
    /// A store object that had to be there: one that the program named, or one that was built for it.
    Object { path: StorePath },
    /// A store object that was built for the program and is not at the path by which the program knows it.
    Elsewhere { path: StorePath, object: StorePath },
    /// A fetch whose result its arguments do not fix.
    Fetch { request: Request, state: Option<TreeState>, result: String },
    /// A flake and its lock. `state` is that of its tree, if that alone decides about the lock.
    Flake { reference: String, state: Option<TreeState>, result: String },
}

/// A copy of a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) source: PathBuf,
    pub(super) name: String,
    pub(super) flat: bool,
    /// What a filter refused; `None` without a filter.
    pub(super) refused: Option<BTreeSet<PathBuf>>,
    pub(super) look: TreeLook,
    pub(super) store_path: StorePath,
}

/// A request of a builtin that fetches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    fetcher: u8,
    attrs: BTreeMap<String, serde_json::Value>,
}

const FETCHERS: [Fetcher; 5] = [Fetcher::Tree, Fetcher::Git, Fetcher::Mercurial, Fetcher::Tarball, Fetcher::Url];

impl Request {
    pub(super) fn of(request: &FetchRequest) -> Self {
        let number = FETCHERS.iter().position(|fetcher| *fetcher == request.fetcher).unwrap_or_default();
        let attrs = request.attrs.iter().map(|(name, value)| {
            let value = match value {
                FetchValue::String(text) => text.as_str().into(),
                FetchValue::Int(number) => (*number).into(),
                FetchValue::Bool(flag) => (*flag).into(),
            };
            (name.clone(), value)
        });
        Self { fetcher: number as u8, attrs: attrs.collect() }
    }

    fn restore(&self) -> Option<FetchRequest> {
        let attrs = self.attrs.iter().map(|(name, value)| {
            let value = match value {
                serde_json::Value::String(text) => FetchValue::String(text.clone()),
                serde_json::Value::Bool(flag) => FetchValue::Bool(*flag),
                other => FetchValue::Int(other.as_i64()?),
            };
            Some((name.clone(), value))
        });
        Some(FetchRequest {
            fetcher: *FETCHERS.get(usize::from(self.fetcher))?,
            attrs: attrs.collect::<Option<BTreeMap<_, _>>>()?,
        })
    }
}

/// How a check ended.
pub(super) enum Verdict {
    /// The answer is the same, and looks the same.
    Same,
    /// The answer is the same, but had to be read; this is how it looks now.
    Read(Dependency),
    /// The answer is another, or there is none.
    Changed,
}

impl Dependency {
    /// Asks again. `since` is when the stamps were taken. Whatever fails counts as changed: the evaluation itself says it
    /// better.
    pub(super) fn check(&self, host: &ProjectHost, since: Moment, regular: &mut RegularFiles) -> Verdict {
        self.try_check(host, since, regular).ok().flatten().unwrap_or(Verdict::Changed)
    }

    fn try_check(
        &self,
        host: &ProjectHost,
        since: Moment,
        regular: &mut RegularFiles,
    ) -> Result<Option<Verdict>, HostError> {
        Ok(match self {
            Self::File { path, stamp, hash } => {
                let Some((now, is_regular)) = look_at_file(host, path) else { return Ok(None) };
                if is_regular {
                    regular.insert(path.clone());
                }
                if now == *stamp && since.trusts(now.newest()) {
                    return Ok(Some(Verdict::Same));
                }
                (content_hash(&host.read_file(path)?) == *hash)
                    .then(|| Verdict::Read(Self::File { path: path.clone(), stamp: now, hash: hash.clone() }))
            }
            Self::Directory { path, stamp, hash } => {
                let Some(now) = stamp_of(host, path) else { return Ok(None) };
                if now == *stamp && since.trusts(now.newest()) {
                    return Ok(Some(Verdict::Same));
                }
                (listing_hash(host.read_dir(path)?) == *hash)
                    .then(|| Verdict::Read(Self::Directory { path: path.clone(), stamp: now, hash: hash.clone() }))
            }
            Self::Kind { path, kind } if kind.as_deref() == Some("regular") && regular.contains(path) => {
                Some(Verdict::Same)
            }
            Self::Kind { path, kind } => same(host.file_type(path)?.map(FileType::name) == kind.as_deref()),
            Self::Link { path, target } => same(host.read_link(path)? == *target),
            Self::Variable { name, hash } => same(host.env_var(name).map(|value| content_hash(&value)) == *hash),
            Self::Source(source) => source.check(host, since)?,
            Self::Object { path } => {
                host.ensure_path(path)?;
                Some(Verdict::Same)
            }
            Self::Elsewhere { path, object } => {
                host.have(object)?;
                // What was read there is asked for next.
                host.files.elsewhere.note(path, object);
                Some(Verdict::Same)
            }
            Self::Fetch { request, state, result } => {
                let Some(wanted) = request.restore() else { return Ok(None) };
                let now = host.fetch_state(&wanted);
                if is_settled(state, &now, since) {
                    return Ok(Some(Verdict::Same));
                }
                (summary(&host.fetch(&wanted)?) == *result).then(|| {
                    Verdict::Read(Self::Fetch { request: request.clone(), state: now, result: result.clone() })
                })
            }
            Self::Flake { reference, state, result } => {
                let now = state.as_ref().and_then(|_| host.flake_state(reference));
                if is_settled(state, &now, since) {
                    return Ok(Some(Verdict::Same));
                }
                (summary(&host.lock_flake(reference)?) == *result).then(|| {
                    Verdict::Read(Self::Flake { reference: reference.clone(), state: now, result: result.clone() })
                })
            }
        })
    }
}

impl Source {
    fn check(&self, host: &ProjectHost, since: Moment) -> Result<Option<Verdict>, HostError> {
        let real = host.files.locate(&self.source, true)?;
        let refused = self.refused.clone().unwrap_or_default();
        let mut looking = Looking::default();
        if looking.walk(&real, Path::new(""), &refused).is_err() {
            return Ok(None);
        }
        let look = looking.finish();
        if look == self.look && since.trusts(look.newest) {
            return Ok(Some(Verdict::Same));
        }
        // A filter would have to be asked about names that it has not seen.
        if self.refused.is_some() && look.structure != self.look.structure {
            return Ok(None);
        }
        let method = if self.flat { Method::Flat } else { Method::Nar };
        let path = sources::compute_path(&self.name, &real, method, &mut |path, _| {
            Ok(!path.strip_prefix(&real).is_ok_and(|relative| refused.contains(relative)))
        })?;
        let read = || Verdict::Read(Dependency::Source(Box::new(Self { look, ..self.clone() })));
        Ok((path == self.store_path).then(read))
    }
}

fn same(is_same: bool) -> Option<Verdict> {
    is_same.then_some(Verdict::Same)
}

/// Whether a local tree looks as before, which decides about it.
fn is_settled(before: &Option<TreeState>, now: &Option<TreeState>, since: Moment) -> bool {
    matches!((before, now), (Some(before), Some(now)) if before == now && since.trusts(now.newest))
}

/// Paths at which a regular file was seen in this check, so that nobody need look there again.
pub(super) type RegularFiles = HashSet<PathBuf>;

/// The stamp of a file, and whether it is at the path itself and not where a link leads.
fn look_at_file(host: &ProjectHost, path: &Path) -> Option<(Stamp, bool)> {
    if embedded::covers(path) {
        return None;
    }
    let real = host.files.locate(path, true).ok()?;
    let metadata = real.symlink_metadata().ok()?;
    match metadata.is_symlink() {
        true => Some((Stamp::of(&real.metadata().ok()?), false)),
        false => Some((Stamp::of(&metadata), real == path && metadata.is_file())),
    }
}

/// The stamp of what a path leads to; `None` for what is not there, or is part of the binary.
pub(super) fn stamp_of(host: &ProjectHost, path: &Path) -> Option<Stamp> {
    if embedded::covers(path) {
        return None;
    }
    let real = host.files.locate(path, true).ok()?;
    Some(Stamp::of(&real.metadata().ok()?))
}

pub(super) fn content_hash(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

/// A hash of names and kinds, in whatever order they come.
pub(super) fn listing_hash(mut entries: Vec<(Vec<u8>, FileType)>) -> String {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hasher = blake3::Hasher::new();
    for (name, kind) in &entries {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(kind.name().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A hash of all that is known of a result.
pub(super) fn summary(result: &impl std::fmt::Debug) -> String {
    content_hash(format!("{result:?}").as_bytes())
}
