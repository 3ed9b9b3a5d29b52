//! `wharf lock` and `wharf update`: the inputs of a flake, and base images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fetch::Lifetime;
use fetch::lock::{Change, InputPath, LockOptions};
use project::{LockReport, Project};
use serde_json::json;

use super::pins::{self, Row, What};
use crate::failure::Failure;
use crate::nix_options::NixOptions;
use crate::progress;
use crate::settings::{Settings, Verbosity};
use crate::target::{self, BuildArguments, InputArguments, input_path};

/// Write down what the flake's inputs and the base images stand for now, where that is not written down yet
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf lock                  the flake's inputs into flake.lock, and the digest of every pullImage without one into wharf.lock
  wharf lock ./services       those of another directory
  wharf lock --override-input nixpkgs github:NixOS/nixpkgs/nixos-25.11
                              pin an input to something else than flake.nix says
  wharf lock --images --in-place
                              the digests of images, into the Nix files

What is written down once stays; `wharf update` moves it. Both files belong into the repository.")]
pub(crate) struct Lock {
    /// The same as --in PATH
    #[arg(value_name = "PATH", conflicts_with = "path")]
    place: Option<PathBuf>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    only: Only,
    #[command(flatten)]
    inputs: InputArguments,
}

/// Move what the flake's inputs and the base images stand for to what it is now
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf update                     every input in flake.lock, and every image in wharf.lock
  wharf update nixpkgs             one input; NAME/NAME is an input of an input
  wharf update alpine              one image, or one NAME:TAG
  wharf update --in-place          digests of images that are written in Nix files, and hashes beside them")]
pub(crate) struct Update {
    /// Only inputs and images of these names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    only: Only,
}

#[derive(clap::Args)]
struct Only {
    /// The inputs of the flake only
    #[arg(long, conflicts_with = "images")]
    inputs: bool,
    /// Base images only
    #[arg(long)]
    images: bool,
}

impl Only {
    /// Whether inputs are meant: those of a flake that is there. Nix files hold none that could be changed in place.
    fn wants_inputs(&self, what: &What) -> bool {
        !self.images && (self.inputs || (!what.in_place && flake_directory(&what.path).is_some()))
    }
}

pub(crate) fn lock(arguments: &Lock, settings: &Settings) -> Result<i32, Failure> {
    let path = arguments.place.as_ref().unwrap_or(&arguments.what.path).clone();
    let what = &What { path, ..arguments.what };
    let report = match arguments.only.wants_inputs(what) {
        true => {
            let overrides = arguments.inputs.overrides()?;
            let options = LockOptions { overrides, ..LockOptions::default() };
            Some(lock_inputs(what, &options, arguments.inputs.refresh, settings)?)
        }
        false => None,
    };
    let rows = if arguments.only.inputs { Vec::new() } else { pins::lock(what, settings)? };
    finish(report, &rows, settings)
}

pub(crate) fn update(arguments: &Update, settings: &Settings) -> Result<i32, Failure> {
    let what = &arguments.what;
    let wants_inputs = arguments.only.wants_inputs(what);
    let known = if wants_inputs { known_inputs(&what.path)? } else { BTreeSet::new() };
    let (mut inputs, mut images) = (BTreeSet::new(), Vec::new());
    for name in &arguments.names {
        let path = input_path(name);
        if path.first().is_some_and(|first| known.contains(first)) {
            inputs.insert(path);
        } else if !arguments.only.inputs && pins::named(what, name)? {
            images.push(name.clone());
        } else {
            return Err(unknown(name, what, &known));
        }
    }
    let all = arguments.names.is_empty();
    let report = match wants_inputs && (all || !inputs.is_empty()) {
        true => {
            let options = LockOptions { update: inputs, update_all: all, ..LockOptions::default() };
            Some(lock_inputs(what, &options, true, settings)?)
        }
        false => None,
    };
    let wants_images = !arguments.only.inputs && (all || !images.is_empty());
    let rows = if wants_images { pins::update(what, &images, settings)? } else { Vec::new() };
    finish(report, &rows, settings)
}

fn unknown(name: &str, what: &What, known: &BTreeSet<String>) -> Failure {
    let place = what.path.display();
    let failure = Failure::new(format!("no pullImage below {place} is of '{name}', and no input has that name"));
    match known.is_empty() {
        true => failure,
        false => failure.help(format!("the inputs are {}", known.iter().cloned().collect::<Vec<_>>().join(", "))),
    }
}

/// Locks the flake around a directory.
fn lock_inputs(what: &What, options: &LockOptions, refresh: bool, settings: &Settings) -> Result<LockReport, Failure> {
    let progress = progress::observer(settings);
    let mut project_options = target::options(settings, &NixOptions::default(), &BuildArguments::default(), progress)?;
    if refresh {
        project_options.fetching.lifetime = Lifetime(0);
    }
    let directory = std::path::absolute(&what.path).map_err(|error| Failure::io("resolve", &what.path, error))?;
    project_options.directory = directory;
    Ok(Project::new(project_options).lock_inputs(".", options)?)
}

/// The directory with the flake that a path is in.
fn flake_directory(path: &Path) -> Option<PathBuf> {
    let directory = if path.is_dir() { path } else { path.parent()? };
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    let absolute = directory.canonicalize().ok()?;
    for place in absolute.ancestors() {
        if place.join("flake.nix").exists() {
            return Some(place.to_owned());
        }
        if place.join(".git").exists() {
            return None;
        }
    }
    None
}

/// The names of the inputs that the lock file has.
fn known_inputs(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let Some(directory) = flake_directory(path) else { return Ok(BTreeSet::new()) };
    let file = directory.join("flake.lock");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(BTreeSet::new()) };
    let lock = nix_formats::flake_lock::LockFile::parse(&text).map_err(|error| {
        Failure::new(format!("{} is not as it should be", file.display())).because(error.to_string())
    })?;
    Ok(lock.nodes.get(&lock.root).map(|root| root.inputs.keys().cloned().collect()).unwrap_or_default())
}

fn finish(report: Option<LockReport>, rows: &[Row], settings: &Settings) -> Result<i32, Failure> {
    let changes: &[Change] = report.as_ref().map_or(&[], |report| &report.changes);
    if settings.json {
        let inputs: Vec<_> = changes.iter().map(change_json).collect();
        let images: Vec<_> = rows.iter().map(Row::to_json).collect();
        println!("{}", json!({ "schema": 1, "inputs": inputs, "images": images }));
    } else {
        changes.iter().for_each(|change| println!("{change}"));
        rows.iter().for_each(Row::print);
        if changes.is_empty() && rows.is_empty() && settings.verbosity >= Verbosity::Normal {
            eprintln!("nothing to write down");
        }
    }
    match report.and_then(|report| Some((report.file, report.problem?))) {
        None => Ok(0),
        Some((file, problem)) => {
            let name = file.map_or_else(|| "the lock file".to_owned(), |file| format!("'{}'", file.display()));
            Err(Failure::new(format!("{name} was not written")).because(problem))
        }
    }
}

fn change_json(change: &Change) -> serde_json::Value {
    let path: &InputPath = &change.path;
    json!({ "input": path.join("/"), "before": change.from, "after": change.to })
}
