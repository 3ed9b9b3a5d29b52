//! `wharf completions SHELL`.

use clap_complete::Shell;

use crate::failure::Failure;

/// Print a script that completes wharf's arguments in a shell
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wharf completions bash > ~/.local/share/bash-completion/completions/wharf")]
pub(crate) struct Arguments {
    /// The shell that is to read it
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, mut definition: clap::Command) -> Result<i32, Failure> {
    clap_complete::generate(arguments.shell, &mut definition, "wharf", &mut std::io::stdout());
    Ok(0)
}
