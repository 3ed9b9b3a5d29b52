//! House rules, parity runs and benchmarks against peers: `cargo xtask COMMAND`.
//!
//! The house rules are this crate's tests. Nothing here is part of the product.

mod bench;

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
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Bench(bench) => bench::run(bench),
    }
}
