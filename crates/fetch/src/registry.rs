//! What names mean: registries of flakes, in the form of `nix registry` (JSON of version 2).

use nix_formats::flake_ref::{Attrs, FlakeRef, Scheme};
use serde::Deserialize;

use crate::reference::shown;
use crate::{FetchError, Fetcher};

/// How often a name may mean another one.
const MOST_STEPS: usize = 100;
/// The name of the store object that the global registry is kept as, as in Nix.
const GLOBAL: &str = "flake-registry.json";

/// One registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    from: FlakeRef,
    to: FlakeRef,
    /// Only this very reference is meant, not one with a branch or a commit.
    exact: bool,
}

#[derive(Deserialize)]
struct RawFile {
    version: u64,
    #[serde(default)]
    flakes: Vec<RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    from: Attrs,
    to: Attrs,
    #[serde(default)]
    exact: bool,
}

/// The registries, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// The user's and the machine's own. What a flake's inputs mean they have no say in.
    pub own: Vec<Registry>,
    /// The address, or the path, of the one that all share; `None` for none.
    pub global: Option<String>,
}

/// Whose reference it is that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The user.
    User,
    /// A flake, which must mean the same on every machine.
    Flake,
}

impl Registry {
    /// Reads a registry. The error is a sentence.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: RawFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if raw.version != 2 {
            return Err(format!("it has version {}, but only version 2 is supported", raw.version));
        }
        let read = |attrs: Attrs| FlakeRef::from_attrs(attrs).map_err(|error| error.to_string());
        let entry = |raw: RawEntry| Ok(Entry { from: read(raw.from)?, to: read(raw.to)?, exact: raw.exact });
        Ok(Self { entries: raw.flakes.into_iter().map(entry).collect::<Result<_, String>>()? })
    }

    /// What a reference means; `None` if this registry does not know.
    fn find(&self, reference: &FlakeRef) -> Option<Result<FlakeRef, FetchError>> {
        let entry = self.entries.iter().find(|entry| {
            let is_same = entry.from == *reference;
            let bare = || reference.clone().with("ref", None).with("rev", None);
            is_same || (!entry.exact && entry.from == bare())
        })?;
        Some(if entry.exact { Ok(entry.to.clone()) } else { entry.applied_to(reference) })
    }
}

impl Entry {
    /// The reference that is meant, with the commit or the branch that is asked for in the place of its own.
    fn applied_to(&self, asked: &FlakeRef) -> Result<FlakeRef, FetchError> {
        let more = |name: &str| match self.from.attrs().contains_key(name) {
            true => None,
            false => asked.attrs().get(name).cloned(),
        };
        let (branch, rev) = (more("ref"), more("rev"));
        let mut meant = self.to.clone();
        let forge = matches!(meant.scheme(), Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut);
        if let Some(rev) = rev {
            meant = meant.with("rev", Some(rev));
            if forge {
                meant = meant.with("ref", None);
            }
        } else if branch.is_some() {
            meant = meant.with("rev", None);
        }
        if let Some(branch) = branch {
            meant = meant.with("ref", Some(branch));
        }
        Ok(FlakeRef::from_attrs(meant.attrs().clone())?)
    }
}

impl Fetcher {
    /// The reference that a name stands for; others stand for themselves.
    ///
    /// # Errors
    /// No registry knows the name, or the global one cannot be had.
    pub fn resolve(&self, reference: &FlakeRef, asker: Asker) -> Result<FlakeRef, FetchError> {
        let mut meant = reference.clone();
        for _ in 0..MOST_STEPS {
            if meant.scheme() != Scheme::Indirect {
                return Ok(meant);
            }
            meant = self.step(&meant, asker)?;
        }
        let reason = "names in the registries stand for each other in a circle";
        Err(FetchError::Unsupported { what: shown(reference), reason })
    }

    fn step(&self, reference: &FlakeRef, asker: Asker) -> Result<FlakeRef, FetchError> {
        let own = if asker == Asker::User { self.settings.registries.own.as_slice() } else { &[] };
        if let Some(found) = own.iter().find_map(|registry| registry.find(reference)) {
            return found;
        }
        let global = self.global_registry()?;
        global.find(reference).unwrap_or_else(|| {
            let reason = "no registry knows this name; write where it is, as 'github:NixOS/nixpkgs'";
            Err(FetchError::Unsupported { what: shown(reference), reason })
        })
    }

    /// The registry that all share, downloaded where it is an address.
    fn global_registry(&self) -> Result<Registry, FetchError> {
        let Some(place) = &self.settings.registries.global else { return Ok(Registry::default()) };
        let file =
            if place.starts_with('/') { place.into() } else { self.store.real_path(&self.file(place, GLOBAL, None)?) };
        let text = std::fs::read_to_string(&file).map_err(FetchError::io("read the registry", &file))?;
        Registry::parse(&text).map_err(|message| FetchError::Registry { place: place.clone(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{ "version": 2, "flakes": [
        { "from": { "type": "indirect", "id": "exact", "ref": "x" }, "to": { "type": "path", "path": "/x" }, "exact": true },
        { "from": { "type": "indirect", "id": "n" }, "to": { "type": "github", "owner": "o", "repo": "n", "ref": "main", "dir": "d" } },
        { "from": { "type": "indirect", "id": "m", "ref": "r" }, "to": { "type": "indirect", "id": "n" } }
    ] }"#;

    #[test]
    fn names_are_found_with_and_without_a_branch() {
        let registry = Registry::parse(TEXT).unwrap();
        let find = |text: &str| {
            let found = registry.find(&FlakeRef::parse(text).unwrap())?;
            Some(found.unwrap().to_string())
        };
        let rev = "b4a34015c698c7793d592d66adbab377907a2be8";
        assert_eq!(find("n").as_deref(), Some("github:o/n/main?dir=d"));
        assert_eq!(find("n/other").as_deref(), Some("github:o/n/other?dir=d"));
        assert_eq!(find(&format!("n/{rev}")), Some(format!("github:o/n/{rev}?dir=d")));
        assert_eq!(find("exact/x").as_deref(), Some("path:/x"));
        assert_eq!(find("m/r").as_deref(), Some("flake:n"));
        assert_eq!(find("m/s"), None);
        assert_eq!(find("exact"), None);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(Registry::parse(r#"{ "version": 1 }"#).unwrap_err().contains("version 1"));
        assert!(Registry::parse(r#"{ "version": 2, "flakes": [ { "from": {}, "to": {} } ] }"#).is_err());
    }
}
