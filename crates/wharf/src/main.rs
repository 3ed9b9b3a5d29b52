//! From a Nix expression to a running container: the command line.
//!
//! Layer: the top; it uses every other crate and none uses it. It turns arguments and environment into [`settings`],
//! runs one file of [`commands`], and renders progress and errors. It alone owns the terminal, the environment and the
//! exit code; what a command *does* lies in the crates below.

// First, for its macros are seen by the modules below it.
#[macro_use]
mod output;

mod any_image;
mod arguments;
mod artifacts;
mod build_arguments;
mod commands;
mod containers;
mod daemon;
mod docker_host;
mod environment;
mod failure;
mod fetching;
mod image_summary;
mod inspect_page;
mod interrupt;
mod logging;
mod nix_conf;
mod nix_instantiate;
mod nix_options;
mod places;
mod progress;
mod registries;
mod repl;
mod settings;
mod store_choice;
mod substituters;
mod target;
mod treemap;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut argv = std::env::args_os();
    let argv0 = argv.next().unwrap_or_default();
    // Before anything else: a build runs the userland's programs by the thousand.
    let arguments: Vec<_> = argv.collect();
    let code = match userland::dispatch(&argv0, arguments.clone()) {
        Some(code) => code,
        None if nix_instantiate::is_meant(&argv0) => nix_instantiate::run(&arguments),
        None => arguments::run(),
    };
    // An exit code has eight bits; what does not fit must still not read as success.
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
