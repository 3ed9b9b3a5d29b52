//! What a store knows of which outputs its objects are, of which only building told: for whoever gets the objects.

use std::collections::BTreeSet;

use nix_formats::derivation::OutputName;
use nix_formats::realisation::{OutputId, Realisation};
use nix_formats::store_path::StorePath;
use store::{DaemonStore, LocalStore, Store, StoreError};

use crate::builder::Builder;
use crate::error::BuildError;
use crate::realisations::Realisations;
use crate::traces::Traces;

/// An output of a derivation, and the object that it is.
type Output = (StorePath, OutputName, StorePath);

/// What a store of this program knows of these objects.
///
/// # Errors
/// The store or its notes cannot be read.
pub fn known_to_store(store: &LocalStore, objects: &BTreeSet<StorePath>) -> Result<Vec<Realisation>, BuildError> {
    let named = named(store, noted(&Builder::realisations(store), objects)?)?;
    Ok(named.into_iter().map(|(id, object)| Realisation::new(id, object)).collect())
}

/// What a daemon knows of these objects, with its signatures; `notes` tell of derivations that it was asked to build.
///
/// # Errors
/// The daemon fails, or the notes cannot be read.
pub fn known_to_daemon(
    daemon: &DaemonStore,
    notes: &Realisations,
    objects: &BTreeSet<StorePath>,
) -> Result<Vec<Realisation>, BuildError> {
    let mut outputs = noted(notes, objects)?;
    for object in objects {
        let mut derivers = daemon.valid_derivers(object)?;
        let deriver = daemon.path_info(object)?.and_then(|info| info.deriver);
        derivers.extend(deriver.filter(|deriver| daemon.is_valid(deriver).unwrap_or(false)));
        for deriver in derivers {
            let names = daemon.read_derivation(&deriver)?.outputs.into_keys();
            outputs.extend(names.map(|name| (deriver.clone(), name, object.clone())));
        }
    }
    let mut known = Vec::new();
    for (id, object) in named(daemon, outputs)? {
        match daemon.realisation(&id) {
            Ok(found) => known.extend(found.filter(|found| found.path == object)),
            // It may not have the experimental feature for that.
            Err(StoreError::DaemonSaid { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(known)
}

fn noted(notes: &Realisations, objects: &BTreeSet<StorePath>) -> Result<Vec<Output>, BuildError> {
    notes.of_objects(objects).map_err(BuildError::file("read the notes in", notes.directory()))
}

/// The names that realisations have for those of the outputs whose paths their derivations do not tell.
fn named(store: &dyn Store, outputs: Vec<Output>) -> Result<BTreeSet<(OutputId, StorePath)>, BuildError> {
    let traces = Traces::default();
    let mut named = BTreeSet::new();
    for (path, output, object) in outputs {
        if !store.is_valid(&path)? {
            continue;
        }
        let derivation = store.read_derivation(&path)?;
        if derivation.output_path(&output).is_none() {
            let id = traces.ids(store, &path, &derivation)?.remove(&output);
            named.extend(id.map(|id| (id, object)));
        }
    }
    Ok(named)
}
