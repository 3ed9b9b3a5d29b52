//! `wharf ci`: pipelines for forges, and the two steps that they run.

mod init;
mod plan;
mod push;

use crate::failure::Failure;
use crate::settings::Settings;

/// Write a forge's pipeline, and run its steps
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Write the pipeline that builds and pushes containers
    Init(init::Arguments),
    /// Print the containers whose derivations a registry does not have yet
    Plan(Box<plan::Arguments>),
    /// Build a container, push it by digest, then tag it
    Push(Box<push::Arguments>),
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    match &arguments.command {
        Subcommand::Init(arguments) => init::run(arguments, settings),
        Subcommand::Plan(arguments) => plan::run(arguments, settings),
        Subcommand::Push(arguments) => push::run(arguments, settings),
    }
}
