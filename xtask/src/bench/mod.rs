//! `cargo xtask bench …`: pairs of Wharf and a peer, measured in turn in one run and printed as a ratio.

mod eval;
mod images;
mod instructions;
mod measure;
mod quick;
mod server;
mod store;
mod usage;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Evaluate, build and pack small definitions, cold and warm, against buildah on the same tree.
    Quick(quick::Arguments),
    /// Substitute, ask caches, hash and build many small things, against real Nix.
    Store(store::Arguments),
    /// Pack, push and archive a closure of real files, against nixpkgs' script with skopeo, and buildah.
    Images(images::Arguments),
    /// Evaluate small and large programs, against other evaluators.
    Eval(eval::Arguments),
    /// Count the instructions of small programs, and compare with the committed counts.
    Instructions(instructions::Arguments),
    /// Run one command and write down what it cost; for the benchmarks themselves.
    #[command(hide = true)]
    Measured(usage::Measured),
}

/// Runs one benchmark and prints its table on standard output.
pub fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Quick(arguments) => quick::run(&arguments),
        Bench::Store(arguments) => store::run(&arguments),
        Bench::Images(arguments) => images::run(&arguments),
        Bench::Eval(arguments) => eval::run(&arguments),
        Bench::Instructions(arguments) => instructions::run(&arguments),
        Bench::Measured(measured) => usage::run_measured(&measured),
    }
}
