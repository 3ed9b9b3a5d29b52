//! `nix-instantiate`: called under that name, through a link to it, the binary takes that program's arguments and prints
//! what it prints. Derivations go into Wharf's store.

mod arguments;
mod evaluate;
mod notices;
mod statistics;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use crate::failure::Failure;
use crate::settings::Settings;
use arguments::{Parsed, Request};
use notices::Notices;

/// Whether the binary was called under the name of this program.
pub(crate) fn is_meant(argv0: &OsStr) -> bool {
    Path::new(argv0).file_name() == Some(OsStr::new("nix-instantiate"))
}

/// Runs with the arguments after the program's name; the exit code. Nix's program has one code for all that goes wrong.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    let mut show_trace = false;
    let outcome = outcome(arguments, &mut show_trace);
    match outcome {
        Ok(()) => 0,
        Err((failure, color)) => {
            eprint!("{}", failure.render(color, show_trace));
            1
        }
    }
}

fn outcome(arguments: &[OsString], show_trace: &mut bool) -> Result<(), (Failure, bool)> {
    let plain = |failure| (failure, false);
    let texts: Vec<String> = arguments
        .iter()
        .map(|argument| {
            let text = argument.to_str().map(str::to_owned);
            text.ok_or_else(|| plain(Failure::usage(format!("the argument '{}' is not UTF-8", argument.display()))))
        })
        .collect::<Result<_, _>>()?;
    let request = match arguments::parse(&texts).map_err(plain)? {
        Parsed::Request(request) => request,
        Parsed::Print(text) => {
            print!("{text}");
            return Ok(());
        }
    };
    *show_trace = request.show_trace;
    let settings = Settings::quiet(request.writes()).map_err(plain)?;
    perform(&request, &settings).map_err(|failure| (failure, settings.color_stderr))
}

fn perform(request: &Request, settings: &Settings) -> Result<(), Failure> {
    let notices = Arc::new(Notices { quiet: request.quiet });
    let printed = evaluate::perform(request, settings, notices)?;
    crate::output::write_bytes(&printed);
    Ok(())
}
