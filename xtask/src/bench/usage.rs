//! What a program costs: processor time and peak memory.
//!
//! The kernel reports the peak of all children together, so each run gets a parent of its own: this program again, as
//! `bench measured`, which runs the one command and writes down what it cost.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use unix::sys::resource::{UsageWho, getrusage};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
    /// The most memory that was resident at once, in bytes.
    pub peak: u64,
}

/// Arguments of `cargo xtask bench measured`.
#[derive(clap::Args)]
pub struct Measured {
    /// Where to write the microseconds of processor and wall-clock time, and the peak in bytes.
    report: PathBuf,
    /// The name under which the program is called.
    name: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Runs one command and writes its cost to the report.
pub fn run_measured(measured: &Measured) -> Result<()> {
    let (program, arguments) = measured.command.split_first().context("a program is required")?;
    let start = Instant::now();
    let status = Command::new(program).arg0(&measured.name).args(arguments).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    let wall = start.elapsed();
    ensure!(status.success(), "{program} fails: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: unix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = micros(usage.user_time()) + micros(usage.system_time());
    // The kernel counts in KiB.
    let peak = usage.max_rss() * 1024;
    Ok(std::fs::write(&measured.report, format!("{cpu} {} {peak}", wall.as_micros()))?)
}

/// Runs `program` under `name`; returns its cost and what it printed.
///
/// # Errors
/// When it cannot start or fails; the message holds what it printed on standard error.
pub fn measure(program: &Path, name: &str, arguments: &[String], set: &[(&str, &str)]) -> Result<(Usage, String)> {
    let report = tempfile::NamedTempFile::new()?;
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "measured"])
        .arg(report.path())
        .arg(name)
        .arg(program)
        .args(arguments)
        .envs(set.iter().copied())
        .env_remove("NIX_PATH")
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("{} {arguments:?}:\n{}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let text = std::fs::read_to_string(report.path())?;
    let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [cpu, wall, peak] = numbers[..] else { bail!("the report of {} is {text:?}", program.display()) };
    let usage = Usage { cpu: Duration::from_micros(cpu), wall: Duration::from_micros(wall), peak };
    Ok((usage, String::from_utf8_lossy(&output.stdout).into_owned()))
}
