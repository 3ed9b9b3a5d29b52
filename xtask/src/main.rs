//! House rules, parity runs and benchmarks against peers: `cargo xtask COMMAND`.
//!
//! The house rules are this crate's tests. Nothing here is part of the product.

mod bench;
mod differential;
mod lang_suite;
mod parity;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "House rules, parity runs and benchmarks against peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure Wharf against its peers, side by side in one run.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run Nix's own language tests from a checkout of Nix.
    LangSuite(lang_suite::LangSuite),
    /// Compare the derivation paths of a whole tree of packages with Nix's.
    Parity(parity::Parity),
    /// Evaluate random programs with Wharf and with Nix, and show where they disagree.
    Differential(differential::Differential),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Bench(bench) => bench::run(bench),
        Command::LangSuite(suite) => lang_suite::run(&suite),
        Command::Parity(parity) => parity::run(&parity),
        Command::Differential(options) => differential::run(&options),
    }
}
