//! What an image takes from the one that it is built on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix_formats::store_path::StorePath;

use crate::config::{ContainerConfig, History, ImageConfig};
use crate::docker::{Selection, Wanted};
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layer::{Layer, Source};
use crate::objects::Objects;

/// Opens the image at a store path: of several in one archive the first that is wanted. A compressed archive is
/// unpacked into `scratch`.
pub(super) fn open(objects: &Objects, path: &Path, wanted: Selection<'_>, scratch: &Path) -> Result<Image, ImageError> {
    let (object, inside) = StorePath::split_absolute(path.as_os_str().as_encoded_bytes())
        .map_err(|error| ImageError::Definition(format!("fromImage: {error}")))?;
    if inside.is_empty() {
        crate::open::open_object(objects, &object, scratch, Wanted::First(wanted))
    } else {
        crate::open::open_path(&objects.locate(path)?, scratch, Wanted::First(wanted))
    }
}

/// As [`open`], but what is unpacked into `kept` stays part of the image, and will be at `placed`.
pub(super) fn open_kept(
    objects: &Objects,
    path: &Path,
    wanted: Selection<'_>,
    kept: &Path,
    placed: &Path,
) -> Result<Image, ImageError> {
    let mut image = open(objects, path, wanted, kept)?;
    for layer in &mut image.layers {
        if let Source::File { path, .. } = &mut layer.source
            && let Ok(name) = path.strip_prefix(kept)
        {
            *path = placed.join(name);
        }
    }
    Ok(image)
}

/// Removes the directory for unpacked archives if nothing was unpacked.
pub(super) fn remove_if_empty(kept: &Path) -> Result<(), ImageError> {
    match fs::remove_dir(kept) {
        Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
            Err(io_error(format!("cannot remove {}", kept.display()))(error))
        }
        _ => Ok(()),
    }
}

/// The base's variables, then the image's own; of two with one name the later value at the earlier place.
pub(super) fn merged_env(base: &[String], own: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::new();
    for entry in base.iter().chain(own) {
        match merged.iter_mut().find(|earlier| name(earlier) == name(entry)) {
            Some(earlier) => entry.clone_into(earlier),
            None => merged.push(entry.clone()),
        }
    }
    merged
}

/// The base's configuration with the image's own changes, as a Dockerfile's `FROM` has it: a command is the base's only
/// together with its entry point; ports, volumes, variables and labels are those of both.
pub(super) fn inherited(base: &ContainerConfig, own: ContainerConfig) -> ContainerConfig {
    let merged = |base: &BTreeMap<String, _>, own: BTreeMap<String, _>| base.clone().into_iter().chain(own).collect();
    let cmd = if own.entrypoint.is_some() { None } else { base.cmd.clone() };
    ContainerConfig {
        user: own.user.or_else(|| base.user.clone()),
        exposed_ports: merged(&base.exposed_ports, own.exposed_ports),
        env: merged_env(&base.env, &own.env),
        entrypoint: own.entrypoint.or_else(|| base.entrypoint.clone()),
        cmd: own.cmd.or(cmd),
        volumes: merged(&base.volumes, own.volumes),
        working_dir: own.working_dir.or_else(|| base.working_dir.clone()),
        labels: base.labels.clone().into_iter().chain(own.labels).collect(),
        stop_signal: own.stop_signal.or_else(|| base.stop_signal.clone()),
        healthcheck: own.healthcheck.or_else(|| base.healthcheck.clone()),
        others: base.others.clone().into_iter().chain(own.others).collect(),
    }
}

/// The base's history; one that does not fit its layers is replaced, since clients refuse it.
pub(super) fn history(config: &ImageConfig, layers: &[Layer]) -> Vec<History> {
    let with_layer = config.history.iter().filter(|entry| !entry.empty_layer).count();
    if with_layer == layers.len() {
        return config.history.clone();
    }
    let entry = History { created: config.created.clone(), ..History::default() };
    vec![entry; layers.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_variable_takes_the_earlier_place() {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let merged = merged_env(&strings(&["PATH=/bin", "A=1"]), &strings(&["B=2", "PATH=/usr/bin=x", "A"]));
        assert_eq!(merged, strings(&["PATH=/usr/bin=x", "A", "B=2"]));
    }
}
