//! `wharf delete`.

use crate::failure::Failure;
use crate::registries;
use crate::settings::{Settings, Verbosity};

/// Delete a tag or, by digest, an image from a registry
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf delete localhost:5000/web:1.2             the tag; the image stays under its digest
  wharf delete localhost:5000/web@sha256:…        the image, and every tag of it")]
pub(crate) struct Arguments {
    /// A reference with a tag or a digest
    reference: String,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let reference = registries::reference(&arguments.reference)?;
    if reference.tag().is_none() && reference.digest().is_none() {
        return Err(Failure::usage(format!(
            "'{}' has neither tag nor digest, so nothing is deleted",
            arguments.reference
        ))
        .help(format!("`wharf tags {}` lists the tags", arguments.reference)));
    }
    let client = registries::client(settings)?;
    registries::wait(async { Ok(client.delete(&reference).await?) })?;
    if settings.verbosity >= Verbosity::Normal {
        eprintln!("deleted {reference}");
    }
    Ok(0)
}
