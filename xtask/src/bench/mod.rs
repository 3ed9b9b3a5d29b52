//! `cargo xtask bench …`: pairs of Wharf and a peer, measured in turn in one run and printed as a ratio.

mod measure;
mod quick;
mod server;
mod store;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Evaluate, build and pack small definitions, cold and warm, against buildah on the same tree.
    Quick(quick::Arguments),
    /// Substitute, ask caches, hash and build many small things, against real Nix.
    Store(store::Arguments),
}

/// Runs one benchmark and prints its table on standard output.
pub fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Quick(arguments) => quick::run(&arguments),
        Bench::Store(arguments) => store::run(&arguments),
    }
}
