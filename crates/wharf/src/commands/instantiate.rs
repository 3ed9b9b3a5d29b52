//! `wharf instantiate`.

use serde_json::json;

use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::target::{BuildArguments, StatisticsArgument, TargetArguments};

/// Write the derivations of a target and print their paths
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wharf instantiate ./web.nix")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name
    target: Option<String>,
    #[command(flatten)]
    statistics: StatisticsArgument,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &BuildArguments::default(), progress, true)?;
    let derived = project.derivations(&target)?;
    project.instantiate(&derived)?;
    arguments.statistics.print(&project);
    if settings.json {
        let rows: Vec<_> = derived
            .iter()
            .map(|one| {
                json!({
                    "attribute": one.attribute,
                    "name": one.name,
                    "drvPath": one.derivation.to_absolute(),
                    "output": one.output,
                    "outPath": one.path.as_ref().map(|path| path.to_absolute()),
                })
            })
            .collect();
        println!("{}", json!({ "schema": 1, "derivations": rows }));
    } else {
        derived.iter().for_each(|one| println!("{}", one.derivation.to_absolute()));
    }
    Ok(0)
}
