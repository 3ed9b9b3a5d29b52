//! `wharf doctor`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use store::LocalStore;
use store::daemon::DaemonOptions;
use store::progress::Silent;

use crate::daemon;
use crate::failure::Failure;
use crate::settings::Settings;

/// Check that this machine can build and run containers
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// How a check ended.
enum Finding {
    /// As it should be; what was found.
    Good(String),
    /// Something works less well than it could; what to do.
    Warning(String),
    /// Something will not work; what to do.
    Bad(String),
}

/// A check's name and what it does.
type Check = (&'static str, fn(&Settings) -> Finding);

const CHECKS: &[Check] = &[
    ("store", store),
    ("cache", cache),
    ("sandbox", sandbox),
    ("memory limits", limits),
    ("docker", |_| engine("docker")),
    ("podman", |_| engine("podman")),
];

pub(crate) fn run(_: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let mut rows = Vec::new();
    let mut bad = 0;
    for (name, check) in CHECKS {
        let (mark, style, text) = match check(settings) {
            Finding::Good(text) => ("ok", "32", text),
            Finding::Warning(text) => ("note", "33", text),
            Finding::Bad(text) => {
                bad += 1;
                ("bad", "31", text)
            }
        };
        rows.push(json!({ "check": name, "result": mark, "text": text }));
        if !settings.json {
            let mark = match settings.color_stdout {
                true => format!("\u{1b}[{style}m{mark:<4}\u{1b}[0m"),
                false => format!("{mark:<4}"),
            };
            println!("{mark}  {name:<14} {text}");
        }
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "checks": rows }));
    }
    Ok(i32::from(bad > 0))
}

fn store(settings: &Settings) -> Finding {
    if let Some(address) = settings.daemon() {
        let opened = daemon::open(address, DaemonOptions::default(), settings, Arc::new(Silent));
        return match opened.and_then(|store| Ok((store.nix_version()?, store.address().to_owned(), store.trusts_us()?)))
        {
            Ok((version, address, trusted)) => {
                let trust = trusted.map_or("", |trusted| if trusted { ", which trusts you" } else { "" });
                Finding::Good(format!("that of Nix {version}, by its daemon at {address}{trust}"))
            }
            Err(failure) => Finding::Bad(failure.message().to_owned()),
        };
    }
    match LocalStore::open(&settings.data) {
        Ok(_) => match settings.daemon_complaint() {
            None => Finding::Good(settings.data.display().to_string()),
            Some(why) => Finding::Warning(format!(
                "{}; the Nix daemon of this machine is of no use: {why}",
                settings.data.display()
            )),
        },
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn cache(settings: &Settings) -> Finding {
    match std::fs::create_dir_all(&settings.cache).and_then(|()| tempfile::tempfile_in(&settings.cache)) {
        Ok(_) => Finding::Good(settings.cache.display().to_string()),
        Err(error) => {
            Finding::Bad(format!("{}: {error}; choose another place with WHARF_CACHE", settings.cache.display()))
        }
    }
}

fn sandbox(_: &Settings) -> Finding {
    match sandbox::probe() {
        Ok(()) => Finding::Good("namespaces can be made".to_owned()),
        Err(_) if rustix::process::geteuid().is_root() && sandbox::probe_without_users().is_ok() => Finding::Warning(
            "namespaces can be made, but none with users of its own: as root, this still builds".to_owned(),
        ),
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn limits(_: &Settings) -> Finding {
    match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => Finding::Good("control groups, version 2".to_owned()),
        false => Finding::Warning("there are no control groups of version 2: --memory may have no effect".to_owned()),
    }
}

fn engine(program: &str) -> Finding {
    let answer = Command::new(program)
        .args(["version", "--format", "{{.Client.Version}}"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match answer {
        Ok(output) if output.status.success() => {
            Finding::Good(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(_) => Finding::Warning("installed, but does not answer; `wharf run` needs no other program".to_owned()),
        Err(_) => Finding::Warning("not installed; only `wharf load` and `run --runtime` would use it".to_owned()),
    }
}
