//! The command line from outside: what users type, and what they get.

mod accounts;
mod daemon;
mod docker_host;
mod eval_cache;
mod frame;
mod from_daemon;
mod images;
mod locks;
mod looking;
mod nix_instantiate;
mod package_set;
mod pins;
mod repl;
mod show;
mod store;
mod userland;

use std::path::Path;
use std::process::{Command, Output};

/// The program under test, with an environment that knows nothing of this machine's user, nor of its Nix.
fn wharf(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("WHARF_STORE", "own");
    command
}

/// What a command wrote, as text.
fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Says that a test could not look at everything; with `WHARF_REQUIRE_PEERS` that is a failure.
fn missing(peer: &str) {
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {peer}");
    println!("skipped: needs {peer}");
}
