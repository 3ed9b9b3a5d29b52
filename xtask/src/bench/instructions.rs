//! `cargo xtask bench instructions`: what small programs cost in instructions, which a busy machine does not change.
//!
//! They are compared only with counts of the same kind of build: CI's, which is not optimised. They show changes of what is done, not of how well the compiler does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Arguments of `cargo xtask bench instructions`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The counts to compare with: lines of a program's name and a number.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/instructions.txt"))]
    base: PathBuf,
    /// The wharf binary, which is called as `nix-instantiate` [default: the one beside this program]
    #[arg(long)]
    wharf: Option<PathBuf>,
    /// Write the new counts to that file.
    #[arg(long)]
    update: bool,
}

/// The programs; small, because counting slows them down fifty times.
const PROGRAMS: [(&str, &str); 3] = [
    ("calls", include_str!("instructions/calls.nix")),
    ("sets", include_str!("instructions/sets.nix")),
    ("derivations", include_str!("instructions/derivations.nix")),
];

/// Counts and prints. A difference is no error: somebody reads it.
///
/// # Errors
/// When callgrind fails, or a file cannot be read or written. Without valgrind, it says so and succeeds.
pub fn run(arguments: &Arguments) -> Result<()> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("instruction counts: needs valgrind");
        return Ok(());
    }
    let base = read_counts(&arguments.base)?;
    let beside = || std::env::current_exe().map(|own| own.with_file_name("wharf"));
    let wharf = arguments.wharf.clone().map_or_else(beside, Ok)?;
    let wharf = wharf.canonicalize().with_context(|| format!("there is no {}: build it first", wharf.display()))?;
    // The binary looks at the name under which it is called.
    let scratch = tempfile::tempdir()?;
    let evaluator = scratch.path().join("nix-instantiate");
    std::os::unix::fs::symlink(wharf, &evaluator)?;
    let mut counts = BTreeMap::new();
    // The cost of starting is the same for all of them, and of little interest.
    let start = count(&evaluator, "null")?;
    for (name, program) in PROGRAMS {
        let number = count(&evaluator, program)?.saturating_sub(start);
        print_change(name, number, base.get(name).copied());
        counts.insert(name.to_owned(), number);
    }
    print_change("start", start, base.get("start").copied());
    counts.insert("start".to_owned(), start);
    if arguments.update {
        let lines: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        std::fs::write(&arguments.base, lines.concat())?;
    }
    Ok(())
}

fn print_change(name: &str, now: u64, before: Option<u64>) {
    match before {
        Some(before) => {
            let change = (now as f64 / before.max(1) as f64 - 1.0) * 100.0;
            println!("{name:<12} {now:>13} instructions, {change:+.1} % ({before} before)");
        }
        None => println!("{name:<12} {now:>13} instructions"),
    }
}

fn read_counts(path: &Path) -> Result<BTreeMap<String, u64>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(BTreeMap::new()) };
    text.lines()
        .map(|line| {
            let (name, count) = line.split_once(' ').with_context(|| format!("{}: '{line}'", path.display()))?;
            Ok((name.to_owned(), count.parse()?))
        })
        .collect()
}

/// The instructions of evaluating one program in a process of its own.
fn count(evaluator: &Path, program: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(evaluator)
        .args(["--eval", "--strict", "--expr", program])
        .env_remove("NIX_PATH")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    match collected.map(str::parse) {
        Some(Ok(count)) if output.status.success() => Ok(count),
        _ => bail!("callgrind fails:\n{report}"),
    }
}
