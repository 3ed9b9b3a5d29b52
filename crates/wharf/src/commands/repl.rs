//! `wharf repl`.

use crate::failure::Failure;
use crate::progress;
use crate::repl;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments, current_directory};

/// Try expressions out: each line is evaluated and printed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf repl                        then: x = 1 + 1, and :? for what else there is
  wharf repl ./pkgs.nix             the attributes of a file, as names
  wharf repl .                      a flake: its outputs and inputs
  echo '1 + 1' | wharf repl         answers on standard output, errors on standard error")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference whose attributes become names
    target: Option<String>,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = match arguments.target.is_some() || arguments.what.names_an_expression() {
        true => Some(arguments.what.target(arguments.target.as_deref())?),
        false => None,
    };
    let project = arguments.what.open(settings, &arguments.how, progress::observer(settings), true)?;
    repl::run(&project, target, current_directory()?, settings)
}
