//! How far the kernel lets builders be kept apart from this machine.
//!
//! As Nix does it (`sandbox-fallback`): where the kernel refuses user namespaces, root does without them; where it refuses
//! all, builders run in none, and that is said. They then find the store's objects at `/nix/store` only if the store lies
//! there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix_formats::STORE_DIR;
use nix_formats::store_path::StorePath;

use crate::error::BuildError;
use crate::options::Isolation;
use crate::workplace::Workplace;

/// What builders are kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// Namespaces, one with users of its own among them.
    Full,
    /// Namespaces with the host's users. Only for root.
    HostUsers,
    /// Nothing.
    Nothing,
}

/// Why builders cannot run.
#[derive(Debug, Clone)]
pub(crate) struct Unconfined {
    /// The kernel's answer, and what to do about it.
    refusal: String,
    /// Why it cannot be done without.
    problem: String,
}

impl Confinement {
    /// What this machine allows. The first time that it is less than asked for, that is said.
    pub fn of(place: &Workplace, derivation: &StorePath) -> Result<Confinement, BuildError> {
        let found = place.confinement.get_or_init(|| find(place, derivation));
        found.clone().map_err(|Unconfined { refusal, problem }| BuildError::Unconfined {
            derivation: derivation.clone(),
            refusal,
            problem,
        })
    }
}

fn find(place: &Workplace, derivation: &StorePath) -> Result<Confinement, Unconfined> {
    let Err(refusal) = sandbox::probe() else { return Ok(Confinement::Full) };
    let root = rustix::process::geteuid().is_root();
    if root && sandbox::probe_without_users().is_ok() {
        return Ok(Confinement::HostUsers);
    }
    let refusal = refusal.to_string();
    if !place.options.sandbox_fallback {
        let problem = "without a sandbox nothing is to be built (sandbox-fallback is false)".to_owned();
        return Err(Unconfined { refusal, problem });
    }
    if let Some(directory) = elsewhere(&place.store.real_path(derivation)) {
        let as_root = if root { "" } else { ", or build as root" };
        let problem = format!(
            "builders must find this store's objects at {STORE_DIR}, but they lie in '{directory}', and only a namespace could \
             show them there. Have namespaces allowed{as_root}; or keep the store in place (--store /), or have this machine's \
             Nix (--store daemon) or another machine (--builders) build"
        );
        return Err(Unconfined { refusal, problem });
    }
    if place.options.isolation != Isolation::Off {
        place.progress.warn(&format!(
            "builders run without a sandbox and see this machine, on which what they make may depend, since {refusal}. \
             --no-sandbox-fallback makes this an error"
        ));
    }
    Ok(Confinement::Nothing)
}

/// The directory of an object, if it is not the one that `/nix/store` is.
fn elsewhere(object: &Path) -> Option<String> {
    let directory = object.parent().unwrap_or(Path::new("/"));
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let here = identity(directory).is_some() && identity(directory) == identity(Path::new(STORE_DIR));
    (!here).then(|| directory.display().to_string())
}
