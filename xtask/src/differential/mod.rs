//! Random programs, evaluated by Wharf and by Nix: do both give the same value, or both an error?
//!
//! A program on which they disagree is made smaller as long as they disagree, and printed. Messages are not compared.

mod generate;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use generate::{Generator, Tree};

/// Arguments of `cargo xtask differential`.
#[derive(clap::Args)]
pub struct Differential {
    /// The `nix-instantiate` to compare with.
    #[arg(long)]
    nix: PathBuf,
    /// The wharf binary to test, which is called as `nix-instantiate`.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    wharf: PathBuf,
    /// How long to look.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the sequence of programs begins; the same seed gives the same programs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many programs are tried at once.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Stop after this many differences.
    #[arg(long, default_value_t = 10)]
    most: usize,
}

/// What an evaluator does with a program.
#[derive(PartialEq, Eq, Debug)]
enum Outcome {
    Value(String),
    Failure,
    /// Neither a value nor an orderly error.
    Crash(String),
}

/// Looks for differences; having found one is an error.
pub fn run(options: &Differential) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let results = std::thread::scope(|scope| {
        let search = |job: u64| move || search(options, options.seed + job, end);
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|job| scope.spawn(search(job))).collect();
        threads.into_iter().map(|thread| thread.join().expect("searching does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let (mut tried, mut values, mut found) = (0, 0, 0);
    for result in results {
        tried += result.tried;
        values += result.values;
        found += result.found;
    }
    println!("{tried} programs, {values} with a value, {found} differences");
    ensure!(found == 0, "the evaluators do not agree");
    Ok(())
}

#[derive(Default)]
struct Found {
    tried: usize,
    values: usize,
    found: usize,
}

fn search(options: &Differential, first: u64, end: Instant) -> Result<Found> {
    let evaluators = Evaluators { ours: &options.wharf, nix: &options.nix };
    let mut result = Found::default();
    let mut seed = first;
    while Instant::now() < end && result.found < options.most {
        let tree = Generator::new(seed).program();
        let (ours, theirs) = evaluators.both(&tree.text())?;
        result.tried += 1;
        result.values += usize::from(matches!(theirs, Outcome::Value(_)));
        if ours != theirs {
            result.found += 1;
            let small = shrink(&evaluators, tree)?;
            let (ours, theirs) = evaluators.both(&small.text())?;
            println!("seed {seed}:\n{}\n  wharf: {ours:?}\n  nix:   {theirs:?}\n", small.text());
        }
        seed += options.jobs.max(1);
    }
    Ok(result)
}

/// The two that are compared.
struct Evaluators<'a> {
    ours: &'a Path,
    nix: &'a Path,
}

impl Evaluators<'_> {
    fn both(&self, program: &str) -> Result<(Outcome, Outcome)> {
        let ours = outcome(self.ours, program)?;
        // Nix may run out of stack where we say so; both are failures.
        let theirs = match outcome(self.nix, program)? {
            Outcome::Crash(_) => Outcome::Failure,
            other => other,
        };
        Ok((ours, theirs))
    }
}

fn outcome(evaluator: &Path, program: &str) -> Result<Outcome> {
    let output = Command::new(evaluator)
        .arg0("nix-instantiate")
        .args(["--extra-experimental-features", "pipe-operators", "--eval", "--strict", "--expr", program])
        .env_remove("NIX_PATH")
        .stdin(Stdio::null())
        .output()?;
    Ok(match output.status.code() {
        Some(0) => Outcome::Value(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        Some(1) => Outcome::Failure,
        _ => Outcome::Crash(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
}

/// The smallest program that still shows a difference, as far as leaving parts out leads to one.
fn shrink(evaluators: &Evaluators<'_>, mut tree: Tree) -> Result<Tree> {
    loop {
        let Some(smaller) = first_smaller(evaluators, &tree)? else { return Ok(tree) };
        tree = smaller;
    }
}

fn first_smaller(evaluators: &Evaluators<'_>, tree: &Tree) -> Result<Option<Tree>> {
    for candidate in tree.smaller() {
        let (ours, theirs) = evaluators.both(&candidate.text())?;
        if ours != theirs {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}
