//! What is different between two images: packages, files, and the layers that a push would move.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cache::LayerCache;
use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::image::Image;
use crate::objects::STORE_DIR;
use crate::survey::{Entry, Survey, part_of};

/// The differences from one image to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Store objects, by name.
    pub packages: Vec<PackageChange>,
    /// Files outside the store.
    pub files: Vec<FileChange>,
    /// Members of the configuration that differ.
    pub config: Vec<String>,
    /// Layers that only the second image has.
    pub new_layers: Vec<Digest>,
    /// What a push of the second image sends to a registry that has the first.
    pub push: Push,
}

/// The bytes of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The bytes of new layers: compressed where that is known.
    pub bytes: u64,
    /// Whether some of them were counted before compression, so that fewer would be sent.
    pub at_most: bool,
}

/// A package that is new, gone or another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    /// The name without version and hash.
    pub name: String,
    /// The store paths that only the first image has, with the bytes of their files.
    pub before: Vec<(String, u64)>,
    /// The store paths that only the second image has.
    pub after: Vec<(String, u64)>,
}

/// A file that is new, gone or another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The absolute path.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// Bytes before.
    pub before: u64,
    /// Bytes after.
    pub after: u64,
}

/// Compares two images by reading all their layers. `cache` knows what was compressed before.
///
/// # Errors
/// A layer cannot be read.
pub fn compare(
    first: &Image,
    second: &Image,
    compression: Compression,
    cache: &LayerCache,
) -> Result<Comparison, ImageError> {
    let (before, after) = (Survey::of(first)?, Survey::of(second)?);
    let have: BTreeSet<_> = first.layers.iter().map(|layer| *layer.diff_id()).collect();
    let new: Vec<_> = second.layers.iter().filter(|layer| !have.contains(layer.diff_id())).collect();
    let mut push = Push::default();
    for layer in &new {
        match layer.known_blob(compression, cache) {
            Some(blob) => push.bytes += blob.size,
            None => {
                push.bytes += layer.tar_blob(cache)?.size;
                push.at_most = true;
            }
        }
    }
    Ok(Comparison {
        packages: packages(&before, &after),
        files: files(&before, &after),
        config: config(first, second),
        new_layers: new.iter().map(|layer| *layer.diff_id()).collect(),
        push,
    })
}

fn objects(survey: &Survey) -> BTreeMap<String, u64> {
    let mut objects = BTreeMap::new();
    for (path, (_, entry)) in survey.visible() {
        if path.len() > STORE_DIR.len() && path.starts_with(STORE_DIR) {
            *objects.entry(part_of(path).to_owned()).or_default() += entry.size;
        }
    }
    objects
}

fn packages(before: &Survey, after: &Survey) -> Vec<PackageChange> {
    let (before, after) = (objects(before), objects(after));
    let mut changes: BTreeMap<String, PackageChange> = BTreeMap::new();
    let mut note = |path: &String, size: u64, is_new: bool| {
        let name = package_name(path);
        let change = changes.entry(name.clone());
        let change = change.or_insert_with(|| PackageChange { name, before: Vec::new(), after: Vec::new() });
        if is_new { &mut change.after } else { &mut change.before }.push((path.clone(), size));
    };
    before.iter().filter(|(path, _)| !after.contains_key(*path)).for_each(|(path, size)| note(path, *size, false));
    after.iter().filter(|(path, _)| !before.contains_key(*path)).for_each(|(path, size)| note(path, *size, true));
    changes.into_values().collect()
}

/// The name of a package: up to the first dash before a digit, as `builtins.parseDrvName` has it.
fn package_name(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    let name = base.split_once('-').map_or(base, |(_, name)| name);
    let version = name
        .match_indices('-')
        .find(|(index, _)| name.as_bytes().get(index + 1).is_some_and(|byte| !byte.is_ascii_alphabetic()));
    version.map_or(name, |(index, _)| &name[..index]).to_owned()
}

fn files(before: &Survey, after: &Survey) -> Vec<FileChange> {
    let outside = |survey| -> BTreeMap<String, Entry> {
        let visible = Survey::visible(survey).into_iter().filter(|(path, _)| !path.starts_with(STORE_DIR));
        visible.map(|(path, (_, entry))| (path.to_owned(), entry.clone())).collect()
    };
    let (before, after) = (outside(before), outside(after));
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter_map(|path| {
        let (old, new) = (before.get(path), after.get(path));
        let change = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            (old, new) if old == new => return None,
            _ => "changed",
        };
        let size = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.size);
        Some(FileChange { path: path.clone(), change, before: size(old), after: size(new) })
    });
    changed.collect()
}

/// The names of members that differ.
fn config(first: &Image, second: &Image) -> Vec<String> {
    let members = |image: &Image| serde_json::to_value(&image.config.config).unwrap_or_default();
    let (first, second) = (members(first), members(second));
    let names =
        |value: &serde_json::Value| value.as_object().map(|members| members.keys().cloned().collect::<BTreeSet<_>>());
    let names = &names(&first).unwrap_or_default() | &names(&second).unwrap_or_default();
    names.into_iter().filter(|name| first.get(name) != second.get(name)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_packages_are_what_is_before_the_version() {
        for (path, name) in [
            ("/nix/store/abc-openssl-3.0.1", "openssl"),
            ("/nix/store/abc-python3-3.11", "python3"),
            ("/nix/store/abc-git-lfs", "git-lfs"),
            ("/nix/store/abc", "abc"),
        ] {
            assert_eq!(super::package_name(path), name);
        }
    }
}
