//! `exportReferencesGraph`: closures as text or JSON for the builder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use nix_formats::store_path::StorePath;
use serde_json::{Map, Value, json};
use store::{Store, StoreError};

use crate::error::BuildError;
use crate::rules::Rules;

/// The exported graphs of a derivation: name to objects.
pub(crate) fn exported(
    store: &dyn Store,
    derivation: &StorePath,
    rules: &Rules,
    inputs: &BTreeSet<StorePath>,
) -> Result<BTreeMap<String, BTreeSet<StorePath>>, BuildError> {
    let mut graphs = BTreeMap::new();
    for (name, paths) in &rules.exported_graphs {
        if let Some(outside) = paths.iter().find(|path| !inputs.contains(*path)) {
            return Err(BuildError::Derivation {
                derivation: derivation.clone(),
                problem: format!(
                    "exportReferencesGraph has '{}', which is not in the closure of the inputs",
                    outside.to_absolute()
                ),
            });
        }
        graphs.insert(name.clone(), closure(store, paths)?);
    }
    Ok(graphs)
}

/// The closure, and where a derivation is in it, the closure of that derivation's outputs too.
fn closure(store: &dyn Store, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, StoreError> {
    let roots: Vec<StorePath> = paths.iter().cloned().collect();
    let mut closure = store.closure(&roots)?;
    let mut outputs = Vec::new();
    for path in closure.iter().filter(|path| path.is_derivation()) {
        outputs.extend(store.read_derivation(path)?.output_paths().filter_map(|(_, path)| path));
    }
    if !outputs.is_empty() {
        closure.extend(store.closure(&outputs)?);
    }
    Ok(closure)
}

/// A graph in the format that `nix-store --load-db` reads, without hashes and derivers.
pub(crate) fn as_text(store: &dyn Store, paths: &BTreeSet<StorePath>) -> Result<String, StoreError> {
    let mut text = String::new();
    for path in paths {
        let references = store.require(path)?.references;
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\n\n{}\n", path.to_absolute(), references.len());
        for reference in &references {
            let _ = writeln!(text, "{}", reference.to_absolute());
        }
    }
    Ok(text)
}

/// The graphs as members of the structured attributes.
pub(crate) fn as_json(
    store: &dyn Store,
    graphs: &BTreeMap<String, BTreeSet<StorePath>>,
) -> Result<Map<String, Value>, StoreError> {
    graphs
        .iter()
        .map(|(name, paths)| {
            let objects = paths.iter().map(|path| object(store, path)).collect::<Result<_, _>>()?;
            Ok((name.clone(), Value::Array(objects)))
        })
        .collect()
}

fn object(store: &dyn Store, path: &StorePath) -> Result<Value, StoreError> {
    let info = store.require(path)?;
    let mut closure_size = 0;
    for member in store.closure(std::slice::from_ref(path))? {
        closure_size += store.require(&member)?.nar_size;
    }
    let references: Vec<String> = info.references.iter().map(StorePath::to_absolute).collect();
    let mut object = json!({
        "closureSize": closure_size,
        "narHash": info.nar_hash.to_prefixed_nix32(),
        "narSize": info.nar_size,
        "path": path.to_absolute(),
        "references": references,
        "valid": true,
    });
    if let (Some(address), Some(members)) = (info.content_address, object.as_object_mut()) {
        members.insert("ca".to_owned(), Value::String(address.to_string()));
    }
    Ok(object)
}
