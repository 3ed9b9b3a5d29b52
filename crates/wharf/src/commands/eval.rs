//! `wharf eval`.

use std::io::Write;

use eval::{Interp, StrBuilder, Value, json, print};
use project::Error;

use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};

/// Print the value of an expression
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf eval --raw ./packages/ollama-container.nix -A tag
  wharf eval --json .#web.imageName
  wharf eval --strict -E '{ a = 1 + 1; }'")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name
    target: Option<String>,
    /// Print a string as it is, without quotes and line break
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Evaluate what is inside derivations too, and print them whole
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &BuildArguments::default(), progress, false)?;
    let text = project.evaluate(&target, |interp, value| show(interp, value, arguments, settings.json))?;
    std::io::stdout().write_all(&text).map_err(|error| Failure::new("cannot print").because(error.to_string()))?;
    Ok(0)
}

fn show(interp: &Interp, value: Value, arguments: &Arguments, as_json: bool) -> Result<Vec<u8>, Error> {
    if arguments.raw {
        return Ok(interp.coerce_to_string(value, eval::Coercion::STRING)?.bytes().to_vec());
    }
    let mut text = if as_json {
        let mut out = StrBuilder::default();
        json::write(interp, value, json::Paths::CopyToStore, &mut out)?;
        out.finish().bytes().to_vec()
    } else if arguments.strict {
        let options = print::PrintOptions { derivation_paths: false, ..print::PrintOptions::RESULT };
        print::print(interp.force_deep(value)?, Some(interp), options)?
    } else {
        print::print(value, Some(interp), print::PrintOptions::RESULT)?
    };
    text.push(b'\n');
    Ok(text)
}
