//! `cargo xtask bench …`: pairs of Wharf and a peer, measured in turn in one run and printed as a ratio.

mod measure;
mod quick;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Evaluate, build and pack small definitions, cold and warm, against buildah on the same tree.
    Quick(quick::Arguments),
}

/// Runs one benchmark and prints its table on standard output.
pub fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Quick(arguments) => quick::run(&arguments),
    }
}
