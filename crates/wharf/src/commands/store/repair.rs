//! `wharf store repair`.

use nix_formats::store_path::StorePath;
use store::local::VerifyOptions;

use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::SubstituterArguments;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Store paths; without any, everything is read to find what is damaged
    paths: Vec<String>,
    #[command(flatten)]
    substituters: SubstituterArguments,
}

pub(super) fn run(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let Opened::Own(store) = store else {
        return Err(Failure::usage("a Nix daemon repairs its store itself")
            .help("`wharf store verify --contents --repair --store daemon` has it do so"));
    };
    let progress = progress::observer(settings);
    let damaged: Vec<StorePath> = match &arguments.paths[..] {
        [] => {
            let problems = store.verify(VerifyOptions { contents: true, repair: false }, &*progress)?;
            problems.iter().filter_map(|problem| problem.path().cloned()).collect()
        }
        paths => parse_all(paths)?,
    };
    if damaged.is_empty() {
        eprintln!("nothing is damaged");
        return Ok(0);
    }
    let caches = arguments.substituters.resolve(settings)?.substituters;
    let mut failures = Vec::new();
    for path in &damaged {
        match caches.replace(path, store, &*progress) {
            Ok(()) => println!("{}", path.to_absolute()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() {
        return Ok(0);
    }
    let failure = Failure::new(format!("{} of {} objects could not be replaced", failures.len(), damaged.len()));
    let failure = failures.into_iter().fold(failure, Failure::because);
    Err(failure.help("`wharf store verify --contents --repair` forgets them, so that they are built again"))
}
