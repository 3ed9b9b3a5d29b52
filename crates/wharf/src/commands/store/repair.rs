//! `wharf store repair`.

use nix_formats::store_path::StorePath;
use store::DaemonStore;
use store::local::VerifyOptions;

use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::nix_conf::OptionArguments;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::SubstituterArguments;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Store paths; without any, everything is read to find what is damaged. In a daemon's store the daemon does it, for
    /// whom it trusts
    paths: Vec<String>,
    #[command(flatten)]
    substituters: SubstituterArguments,
    #[command(flatten)]
    options: OptionArguments,
}

/// A daemon takes good copies from its own binary caches, or builds anew, for those whom it trusts.
fn by_daemon(store: &DaemonStore, paths: &[StorePath]) -> Result<i32, Failure> {
    let failed = match paths {
        [] => store.verify(true, true)?,
        paths => store.repair(paths).map(|()| Vec::new())?,
    };
    if failed.is_empty() {
        paths.iter().for_each(|path| println!("{}", path.to_absolute()));
        return Ok(0);
    }
    Err(failed.into_iter().fold(Failure::new("the daemon could not repair everything"), Failure::because))
}

pub(super) fn run(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let store = match store {
        Opened::Own(store) => store,
        Opened::Daemon(store) => return by_daemon(store, &parse_all(&arguments.paths)?),
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
    let caches = arguments.substituters.resolve(settings, &arguments.options.given()?)?.substituters;
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
