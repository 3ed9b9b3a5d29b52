//! From a Nix expression to a running container: the command line.
//!
//! Layer: the top; it uses every other crate and none uses it. It turns arguments and environment into [`settings`],
//! runs one file of [`commands`], and renders progress and errors. It alone owns the terminal, the environment and the
//! exit code; what a command *does* lies in the crates below.

mod arguments;
mod artifacts;
mod commands;
mod containers;
mod environment;
mod failure;
mod image_summary;
mod interrupt;
mod logging;
mod nix_conf;
mod progress;
mod registries;
mod settings;
mod substituters;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut argv = std::env::args_os();
    let argv0 = argv.next().unwrap_or_default();
    // Before anything else: a build runs the userland's programs by the thousand.
    let code = match userland::dispatch(&argv0, argv.collect()) {
        Some(code) => code,
        None => arguments::run(),
    };
    // An exit code has eight bits; what does not fit must still not read as success.
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
