//! `cargo xtask bench eval`: the evaluator against other evaluators with the arguments of `nix-instantiate`.
//!
//! The programs take turns, so that a busy machine is busy for all of them, and the medians are printed. A row whose
//! answers differ is an error: a wrong answer has no speed.

mod rows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::usage::{Usage, measure};
use rows::{ROWS, Row};

/// Arguments of `cargo xtask bench eval`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask bench eval --nix /usr/bin/nix-instantiate --tree lib=../nixpkgs.lib/lib \\\n    \
                        --tree nixpkgs=../nixpkgs --tree core=../core --tree home-manager=../home-manager"
)]
pub struct Arguments {
    /// A `nix-instantiate` to compare with; may be repeated. Ratios are to the first.
    #[arg(long, num_args = 1.., value_name = "PROGRAM")]
    nix: Vec<PathBuf>,
    /// The wharf binary to measure, which is called as `nix-instantiate`.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    wharf: PathBuf,
    /// A tree of Nix code, of `lib`, `core`, `home-manager` and `nixpkgs`, with its path.
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_tree)]
    tree: Vec<(String, PathBuf)>,
    /// Only rows whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Run each row at most this often.
    #[arg(long)]
    runs: Option<usize>,
    /// Evaluate the whole trees with this many threads too.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn parse_tree(text: &str) -> Result<(String, PathBuf)> {
    let (name, path) = text.split_once('=').context("a tree is NAME=PATH")?;
    let path = Path::new(path).canonicalize().with_context(|| format!("there is no {path}"))?;
    Ok((name.to_owned(), path))
}

/// A program under measurement.
struct Contestant {
    label: String,
    program: PathBuf,
}

impl Contestant {
    fn run(&self, arguments: &[String]) -> Result<(Usage, String)> {
        measure(&self.program, "nix-instantiate", arguments, &[("HOME", "/nonexistent")])
    }

    /// Makes derivations, with a home that keeps what the last run left: of ours by the command that has a cache.
    fn run_again(&self, is_ours: bool, arguments: &[String], home: &Path) -> Result<(Usage, String)> {
        let home = home.display().to_string();
        let set = [("HOME", home.as_str())];
        match is_ours {
            true => {
                let command = ["instantiate", "--quiet", "--file"].map(str::to_owned);
                let command: Vec<String> = command.into_iter().chain(arguments.iter().cloned()).collect();
                measure(&self.program, "wharf", &command, &set)
            }
            false => measure(&self.program, "nix-instantiate", arguments, &set),
        }
    }
}

/// Medians of one row, for each contestant.
type Medians = Vec<Usage>;

/// Runs the rows and prints the table.
///
/// # Errors
/// When a program fails, or the programs do not give the same answer.
pub fn run(arguments: &Arguments) -> Result<()> {
    let contestants = contestants(arguments)?;
    print_heading(&contestants);
    let directory = tempfile::tempdir()?;
    let mut micro = Vec::new();
    for row in ROWS.iter().filter(|row| arguments.only.as_ref().is_none_or(|only| row.name.contains(only))) {
        let missing = row.missing(&arguments.tree);
        if !missing.is_empty() {
            println!("{:<36} left out: needs --tree {}=PATH", row.name, missing.join("=PATH --tree "));
            continue;
        }
        // Whole trees are also measured by the clock, for which a program may use what there is.
        let held = row.all_paths_of(&arguments.tree).is_none().then(OneProcessor::hold).transpose()?;
        let medians = measure_row(row, arguments, &contestants, directory.path())?;
        drop(held);
        print_row(row.name, &medians, |usage| usage.cpu);
        if let Some(tree) = row.all_paths_of(&arguments.tree)
            && arguments.jobs > 1
        {
            print_threads_row(tree, &row.paths_file(directory.path()), arguments.jobs, &medians)?;
        }
        if row.micro {
            micro.push(medians);
        }
    }
    print_geometric_mean(&micro);
    Ok(())
}

/// Keeps this thread, and the programs that it starts, on one processor while it lives: processors of a virtual machine may differ
/// by a tenth or more, and short programs seldom change theirs.
struct OneProcessor(CpuSet);

impl OneProcessor {
    fn hold() -> Result<OneProcessor> {
        let all = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| all.is_set(*cpu)).context("there is no processor")?;
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one)?;
        Ok(OneProcessor(all))
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // What was allowed before is allowed again.
        let _ = sched_setaffinity(None, &self.0);
    }
}

fn contestants(arguments: &Arguments) -> Result<Vec<Contestant>> {
    let program = arguments.wharf.canonicalize().with_context(|| {
        let wharf = arguments.wharf.display();
        format!("there is no {wharf}: run `cargo build --release -p wharf`, or name another with --wharf")
    })?;
    let ours = Contestant { label: "wharf".to_owned(), program };
    let mut all = vec![ours];
    for nix in &arguments.nix {
        let output = Command::new(nix).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {}", nix.display()))?;
        let version = String::from_utf8_lossy(&output.stdout);
        let label = format!("nix {}", version.split_whitespace().last().unwrap_or("?"));
        all.push(Contestant { label, program: nix.clone() });
    }
    Ok(all)
}

/// The programs take turns; each gets one run before the first that counts, which fills the page cache.
fn measure_row(row: &Row, arguments: &Arguments, contestants: &[Contestant], directory: &Path) -> Result<Medians> {
    let command = row.arguments(&arguments.tree, directory)?;
    if row.copies_sources() {
        // Nix reads what a source's copy holds only once the copy is in its store.
        let writing: Vec<String> = command.iter().cloned().chain(["--read-write-mode".to_owned()]).collect();
        contestants[1..].iter().try_for_each(|contestant| contestant.run(&writing).map(drop))?;
    }
    let mut answer = None;
    let mut usages = vec![Vec::new(); contestants.len()];
    let runs = arguments.runs.map_or(row.runs, |limit| row.runs.min(limit.max(1)));
    let home = directory.join("home");
    std::fs::create_dir_all(&home)?;
    for run in 0..=runs {
        let mut turns: Vec<usize> = (0..contestants.len()).collect();
        // In every other run the other way round: with two processors of unequal speed, strict turns give each program its own.
        if run % 2 == 1 {
            turns.reverse();
        }
        for index in turns {
            let contestant = &contestants[index];
            let (usage, printed) = match row.is_again() {
                true => contestant.run_again(index == 0, &command, &home)?,
                false => contestant.run(&command)?,
            };
            let expected = answer.get_or_insert_with(|| printed.clone());
            ensure!(*expected == printed, "{}: {} gives another answer", row.name, contestant.label);
            if run > 0 {
                usages[index].push(usage);
            }
        }
    }
    Ok(usages.into_iter().map(median).collect())
}

/// The median of each quantity by itself.
fn median(usages: Vec<Usage>) -> Usage {
    fn middle<T: Ord + Copy>(mut values: Vec<T>) -> T {
        values.sort();
        values[values.len() / 2]
    }
    Usage {
        cpu: middle(usages.iter().map(|usage| usage.cpu).collect()),
        wall: middle(usages.iter().map(|usage| usage.wall).collect()),
        peak: middle(usages.iter().map(|usage| usage.peak).collect()),
    }
}

fn print_heading(contestants: &[Contestant]) {
    print!("{:<36}", "median CPU seconds, peak MB");
    contestants.iter().for_each(|contestant| print!(" {:>18}", contestant.label));
    println!("   times faster");
}

fn print_row(name: &str, medians: &Medians, time: impl Fn(&Usage) -> Duration) {
    print!("{name:<36}");
    for usage in medians {
        print!(" {:>9.3} {:>5.0} MB", time(usage).as_secs_f64(), usage.peak as f64 / 1e6);
    }
    for theirs in &medians[1..] {
        print!("  {:>5.2}×", time(theirs).as_secs_f64() / time(&medians[0]).as_secs_f64());
    }
    println!();
}

/// The same paths on several threads: wall-clock time, as threads don't lessen the work.
fn print_threads_row(tree: &Path, paths: &Path, jobs: usize, medians: &Medians) -> Result<()> {
    if cfg!(debug_assertions) {
        // This program itself evaluates them, and a debug build of it says nothing.
        println!("  ours {jobs} threads: left out, needs `cargo run --release -p xtask -- bench eval …`");
        return Ok(());
    }
    let (tree, paths, jobs_text) = (tree.display().to_string(), paths.display().to_string(), jobs.to_string());
    let command = ["parity", &tree, "--paths", &paths, "--jobs", &jobs_text].map(str::to_owned);
    let own = std::env::current_exe()?;
    let mut usages = Vec::new();
    for _ in 0..3 {
        usages.push(measure(&own, "xtask", &command, &[])?.0);
    }
    let mut row = medians.clone();
    row[0] = median(usages);
    print_row(&format!("  wall clock, ours {jobs} threads"), &row, |usage| usage.wall);
    Ok(())
}

fn print_geometric_mean(micro: &[Medians]) {
    let Some(first) = micro.first() else { return };
    for peer in 1..first.len() {
        let ratio = |medians: &Medians| medians[peer].cpu.as_secs_f64() / medians[0].cpu.as_secs_f64();
        let product: f64 = micro.iter().map(ratio).product();
        println!("geometric mean of {} small rows: {:.2}×", micro.len(), product.powf(1.0 / micro.len() as f64));
    }
}
