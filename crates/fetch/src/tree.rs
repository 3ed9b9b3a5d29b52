//! A fetched tree, and what the language sees of it.

use jiff::Timestamp;
use nix_formats::flake_ref::{Attr, FlakeRef, Scheme};
use nix_formats::hash::Hash;
use nix_formats::store_path::StorePath;

use crate::FetchError;
use crate::reference::shown;

/// The commit that `builtins.fetchGit` names where there is none.
const NO_REV: &str = "0000000000000000000000000000000000000000";

/// A tree in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The store object.
    pub path: StorePath,
    /// The reference with everything that is known of the tree: always `narHash`, often `lastModified` and `rev`.
    pub locked: FlakeRef,
}

impl Tree {
    /// The attributes beside `outPath` that `builtins.fetchTree` gives, and a flake's `sourceInfo` has.
    ///
    /// `rev_if_none` is for `builtins.fetchGit`, which gives a `rev` of zeros and a `revCount` of 0 where there is no
    /// commit.
    pub fn attributes(&self, rev_if_none: bool) -> Vec<(&'static str, Attr)> {
        let locked = &self.locked;
        let mut attributes = Vec::new();
        attributes.extend(locked.text("narHash").map(|hash| ("narHash", hash.into())));
        if locked.scheme() == Scheme::Git {
            attributes.push(("submodules", locked.flag("submodules").into()));
        }
        let rev = locked.text("rev").or(rev_if_none.then_some(NO_REV));
        attributes.extend(rev.iter().flat_map(|rev| [("rev", (*rev).into()), ("shortRev", short(rev).into())]));
        let count = locked.number("revCount").or(rev_if_none.then_some(0));
        attributes.extend(count.map(|count| ("revCount", count.into())));
        for name in ["dirtyRev", "dirtyShortRev"] {
            attributes.extend(locked.text(name).map(|rev| (name, rev.into())));
        }
        if let Some(time) = locked.number("lastModified") {
            attributes.push(("lastModified", time.into()));
            attributes.push(("lastModifiedDate", date(time).into()));
        }
        attributes
    }

    /// The tree must be what the reference says.
    pub(crate) fn check(&self, wanted: &FlakeRef) -> Result<(), FetchError> {
        if let Some(expected) = wanted.nar_hash()
            && let Some(actual) = self.locked.nar_hash()
            && expected != actual
        {
            let what = shown(wanted);
            return Err(FetchError::HashMismatch { what, expected: expected.into(), actual: actual.into() });
        }
        for name in ["rev", "lastModified", "revCount"] {
            let (wanted_value, value) = (wanted.attrs().get(name), self.locked.attrs().get(name));
            if wanted_value.is_some() && value.is_some() && wanted_value != value {
                let reason = format!("its '{name}' is not the one that it is locked to");
                return Err(FetchError::Revision { what: shown(wanted), reason });
            }
        }
        Ok(())
    }
}

/// Sets what is known of a tree in its reference.
pub(crate) fn lock_to(reference: FlakeRef, nar_hash: &Hash, last_modified: Option<u64>) -> FlakeRef {
    let locked = reference.with("narHash", Some(nar_hash.to_sri().into()));
    match last_modified {
        Some(time) => locked.with("lastModified", Some(time.into())),
        None => locked,
    }
}

/// The first seven digits of a commit hash.
pub(crate) fn short(rev: &str) -> &str {
    rev.get(..7).unwrap_or(rev)
}

/// A time in seconds since 1970 as `YYYYMMDDHHMMSS` in UTC.
fn date(time: u64) -> String {
    let timestamp = i64::try_from(time).ok().and_then(|time| Timestamp::from_second(time).ok()).unwrap_or_default();
    timestamp.strftime("%Y%m%d%H%M%S").to_string()
}
