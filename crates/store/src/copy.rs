//! Copying objects from one store to another.

use std::collections::BTreeSet;
use std::io;

use nix_formats::store_path::StorePath;

use crate::fs_nar::TreeError;
use crate::progress::{Activity, Outcome, Progress, Task};
use crate::{PathInfo, Store, StoreError};

/// Copies objects with all that they refer to, each after what it refers to; returns what was copied. `accept` looks at
/// each object that is to be copied, before anything is.
///
/// # Errors
/// `accept` refuses an object, or a store fails. What was copied before stays.
pub fn copy<E: From<StoreError>>(
    from: &dyn Store,
    paths: &[StorePath],
    to: &dyn Store,
    mut accept: impl FnMut(&PathInfo) -> Result<(), E>,
    progress: &dyn Progress,
) -> Result<Vec<StorePath>, E> {
    let mut missing = Vec::new();
    for path in from.closure(paths)? {
        to.add_temp_root(&path)?;
        if !to.is_valid(&path)? {
            let info = from.require(&path)?;
            accept(&info)?;
            missing.push(info);
        }
    }
    let ordered = references_first(missing);
    ordered.iter().try_for_each(|info| copy_one(from, info, to, progress))?;
    Ok(ordered.into_iter().map(|info| info.path).collect())
}

/// Copies just these objects, each after those of them that it refers to.
///
/// # Errors
/// A store fails. What was copied before stays.
pub fn copy_objects(
    from: &dyn Store,
    objects: Vec<PathInfo>,
    to: &dyn Store,
    progress: &dyn Progress,
) -> Result<(), StoreError> {
    references_first(objects).iter().try_for_each(|info| copy_one(from, info, to, progress))
}

fn copy_one(from: &dyn Store, info: &PathInfo, to: &dyn Store, progress: &dyn Progress) -> Result<(), StoreError> {
    let task = Task::start(progress, Activity::Copy, info.path.name(), Some(info.nar_size));
    let (mut reader, mut writer) = io::pipe().map_err(StoreError::io("make a pipe for", info.path.to_absolute()))?;
    // Whoever copies a store trusts what the other side has built no more than what it has got.
    let info = PathInfo { ultimate: false, registration_time: 0, ..info.clone() };
    std::thread::scope(|scope| {
        let path = info.path.clone();
        let dumping = scope.spawn(move || from.write_nar(&path, &mut writer));
        let added = to.add_nar(&info, &mut reader);
        // The writer must not wait for a reader that has given up.
        drop(reader);
        match dumping.join() {
            // Of two failures that one came first which made the other.
            Ok(Err(error)) if added.is_ok() || !error.is_broken_pipe() => Err(error),
            _ => added.map_err(|error| match error {
                StoreError::Tree(TreeError::Nar(source)) => {
                    StoreError::BadArchive { from: from.name(), path: info.path.clone(), source }
                }
                error => error,
            }),
        }
    })?;
    task.advance(info.nar_size);
    task.finish(Outcome::Done);
    Ok(())
}

/// The objects in an order in which each comes after those of them that it refers to.
fn references_first(objects: Vec<PathInfo>) -> Vec<PathInfo> {
    let mut waiting = objects;
    let mut left: BTreeSet<StorePath> = waiting.iter().map(|info| info.path.clone()).collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let before = waiting.len();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|info| info.references.iter().all(|one| *one == info.path || !left.contains(one)));
        for info in &ready {
            left.remove(&info.path);
        }
        ordered.extend(ready);
        waiting = rest;
        if waiting.len() == before {
            // A circle; the destination will say which reference is missing.
            ordered.append(&mut waiting);
        }
    }
    ordered
}
