//! `wharf log`.

use std::fs::File;
use std::io::{self, ErrorKind, Write};

use build::{Builder, DaemonBuilder, Realisations};
use nix_formats::store_path::StorePath;
use store::daemon::DaemonOptions;
use store::{LocalStore, Store};

use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{daemon, output, progress};

/// Print what a builder wrote
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf log /nix/store/…-web.drv   as the message of a failed build says it
  wharf log ./web.nix              the log of a target")]
pub(crate) struct Arguments {
    /// A derivation, an output of one, or a target
    subject: Option<String>,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let store_path = arguments.subject.as_deref().and_then(|text| StorePath::from_absolute(text).ok());
    let derivation = match store_path {
        Some(path) if path.is_derivation() => path,
        Some(path) => deriver(&path, settings)?,
        None => {
            let target = arguments.what.target(arguments.subject.as_deref())?;
            let build = BuildArguments::default();
            let project = arguments.what.open(settings, &build, progress::observer(settings), false)?;
            match &project.derivations(&target)?[..] {
                [one] => one.derivation.clone(),
                several => {
                    return Err(Failure::usage(format!("{} has {} derivations", target.describe(), several.len()))
                        .help("name one of them with --attr"));
                }
            }
        }
    };
    print_log(&derivation, settings)
}

fn deriver(path: &StorePath, settings: &Settings) -> Result<StorePath, Failure> {
    let info = match settings.daemon() {
        None => LocalStore::open(&settings.data)?.require(path)?,
        Some(address) => {
            let progress = progress::observer(settings);
            daemon::open(address, DaemonOptions::default(), settings, progress)?.require(path)?
        }
    };
    info.deriver.ok_or_else(|| Failure::new(format!("no derivation made '{}': it was added", path.to_absolute())))
}

/// Where notes of the store are.
fn realisations(settings: &Settings) -> Realisations {
    match settings.daemon() {
        None => Builder::realisations_below(&settings.data),
        Some(_) => DaemonBuilder::realisations(&settings.data),
    }
}

pub(crate) fn print_log(derivation: &StorePath, settings: &Settings) -> Result<i32, Failure> {
    // A daemon keeps the logs of what it has built; what Wharf's own builders have said is in its own directory.
    let theirs = settings.daemon().and_then(|address| address.root());
    let roots = theirs.into_iter().chain([settings.data.as_path()]);
    // What needs something of which only building tells the path is built as another derivation.
    let resolved = realisations(settings).find_resolved(derivation);
    let derivations: Vec<_> = std::iter::once(derivation).chain(resolved.as_ref()).collect();
    let files: Vec<_> = roots
        .flat_map(|root| derivations.iter().map(|one| build::log_path(&root.join("nix/var/log/nix"), one)))
        .collect();
    let file = files.iter().find(|file| file.exists()).unwrap_or(&files[0]);
    let input = File::open(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!("there is no log of '{}'", derivation.to_absolute()))
            .help("a builder that writes nothing, or that never ran here, leaves none"),
        _ => Failure::io("read", file, error),
    })?;
    let mut out = io::stdout().lock();
    io::copy(&mut bzip2::read::MultiBzDecoder::new(input), &mut out)
        .and_then(|_| out.flush())
        .map_err(|error| Failure::io("print", file, output::unless_nobody_reads(error)))?;
    Ok(0)
}
