//! `wharf load`.

use serde_json::json;

use crate::artifacts::Artifacts;
use crate::containers::Engine;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};

/// Build images and hand them to docker or podman
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wharf load ./web.nix && docker run --rm web:1.0")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name [default: .]
    target: Option<String>,
    /// Which program takes it [default: the one that is installed]
    #[arg(long, value_enum)]
    runtime: Option<Engine>,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let engine = arguments.runtime.map_or_else(Engine::installed, Ok)?;
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let mut names = Vec::new();
    for (one, path) in derived.iter().zip(&paths) {
        let summary = artifacts.image(&one.name, path)?;
        engine.load(&summary.image, &artifacts.layers)?;
        names.push(summary.name());
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "loaded": names, "runtime": engine.program() }));
    } else {
        names.iter().for_each(|name| println!("{name}"));
    }
    Ok(0)
}
