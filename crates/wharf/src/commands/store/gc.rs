//! `wharf store gc` and `optimise`.

use std::time::{SystemTime, UNIX_EPOCH};

use build::{Builder, DaemonBuilder};
use indicatif::HumanBytes;
use nix_formats::store_path::StorePath;
use serde_json::json;
use store::local::GcOptions;
use store::{DaemonStore, LocalStore, Store};

use super::opened::Opened;
use crate::artifacts;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;

const DAY: i64 = 24 * 60 * 60;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf store gc --dry-run           what would be deleted
  wharf store gc --keep-days 14      keep what is newer than two weeks, and what that needs
  wharf store gc --max-size 20G      delete the oldest until no more than 20 GB are left")]
pub(super) struct Arguments {
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep what was added in the last DAYS days, and what it needs
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Stop when what is left is no larger than this; the oldest goes first
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "max_freed")]
    max_size: Option<u64>,
    /// Stop when this much is freed; the oldest goes first
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_freed: Option<u64>,
}

pub(super) fn run(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let (paths, bytes) = match store {
        Opened::Own(store) => collect(store, arguments, settings)?,
        Opened::Daemon(store) => collect_by_daemon(store, arguments, settings)?,
    };
    if settings.json {
        let paths: Vec<_> = paths.iter().map(StorePath::to_absolute).collect();
        println!("{}", json!({ "schema": 1, "paths": paths, "bytes": bytes, "deleted": !arguments.dry_run }));
        return Ok(0);
    }
    if arguments.dry_run {
        paths.iter().for_each(|path| println!("{}", path.to_absolute()));
    }
    let would = if arguments.dry_run { "would free" } else { "freed" };
    eprintln!("{would} {} of {} objects and of archives without a link", HumanBytes(bytes), paths.len());
    Ok(0)
}

/// What a collection has deleted, or would, and how many bytes that is.
type Collected = (Vec<StorePath>, u64);

fn collect(store: &LocalStore, arguments: &Arguments, settings: &Settings) -> Result<Collected, Failure> {
    let archives = artifacts::collect(settings, arguments.dry_run)?;
    let options = arguments.options(|| Ok(store.total_size()?))?;
    let collected = store.collect_garbage(&options, &*progress::observer(settings))?;
    if !arguments.dry_run {
        let there = |path: &StorePath| Ok::<_, Failure>(store.is_valid(path)?);
        Builder::realisations(store).forget_unless(there)?;
    }
    Ok((collected.paths.into_iter().collect(), collected.bytes + archives))
}

fn collect_by_daemon(store: &DaemonStore, arguments: &Arguments, settings: &Settings) -> Result<Collected, Failure> {
    let archives = artifacts::collect(settings, arguments.dry_run)?;
    let collected = store.collect_garbage(&arguments.options(|| Ok(store.total_size()?))?)?;
    if !arguments.dry_run {
        let there = |path: &StorePath| Ok::<_, Failure>(store.is_valid(path)?);
        DaemonBuilder::realisations(&settings.data).forget_unless(there)?;
    }
    Ok((collected.paths.into_iter().collect(), collected.bytes + archives))
}

impl Arguments {
    /// What a store is told. How large it is, is asked only where that matters.
    fn options(&self, total_size: impl FnOnce() -> Result<u64, Failure>) -> Result<GcOptions, Failure> {
        let excess = match self.max_size {
            Some(size) => Some(total_size()?.saturating_sub(size)),
            None => self.max_freed,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let keep_registered_since = self.keep_days.map(|days| now - i64::from(days) * DAY);
        Ok(GcOptions { dry_run: self.dry_run, max_freed: excess, keep_registered_since })
    }
}

pub(super) fn optimise(store: &Opened, settings: &Settings) -> Result<i32, Failure> {
    let store = match store {
        Opened::Own(store) => store,
        Opened::Daemon(store) => {
            store.optimise()?;
            if !settings.json {
                eprintln!("the daemon has linked files that are the same as others");
            }
            return Ok(0);
        }
    };
    let gained = store.optimise(&*progress::observer(settings))?;
    if settings.json {
        println!("{}", json!({ "schema": 1, "files": gained.files, "bytes": gained.bytes }));
    } else {
        eprintln!("freed {} by linking {} files that are the same as others", HumanBytes(gained.bytes), gained.files);
    }
    Ok(0)
}

/// A number of bytes, as `500M`, `1.5GiB` or `1000`; the units are powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim().trim_end_matches(['b', 'B']).trim_end_matches('i').to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(format!("'{unit}' is no unit of size; there are K, M, G and T")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, as in 500M".to_owned())?;
    Ok((number * 1024_f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [("0", 0), ("12", 12), ("1k", 1024), ("1.5GiB", 3 << 29), ("2 MB", 2 << 20)] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "G", "1X", "-1", "1.2.3"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
