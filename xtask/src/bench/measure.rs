//! Time a command; find a median; print a row.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs `command` once, silently, and gives its wall-clock time.
///
/// # Errors
/// When it cannot start or fails; the message holds what it printed on standard error.
pub fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let out = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let took = start.elapsed();
    if !out.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(took)
}

/// The median of `runs` measurements (`runs` > 0).
///
/// # Errors
/// The first failing measurement's.
pub fn median(runs: usize, mut measure: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    (0..runs).map(|_| measure()).collect::<Result<Vec<_>>>().map(median_of)
}

/// The median of times, of which there must be one.
pub fn median_of(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints `what`, our time, and, where there is a peer, its time and how many times faster we are.
pub fn row(what: &str, ours: Duration, peer: Option<(&str, Duration)>) {
    let ours_ms = ours.as_secs_f64() * 1e3;
    match peer {
        Some((name, theirs)) => {
            let theirs_ms = theirs.as_secs_f64() * 1e3;
            println!("{what:<44} {ours_ms:>10.1} ms   {name:<10} {theirs_ms:>10.1} ms   {:>7.1}×", theirs_ms / ours_ms);
        }
        None => println!("{what:<44} {ours_ms:>10.1} ms"),
    }
}
