//! The formats against real Nix where it is installed, and by properties that hold for all input.

mod derivations;
mod narinfos;
mod nars;
mod strangers;

use std::process::Command;

/// Whether the program is there; if not, says so, or fails where all peers must be there.
fn has_peer(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{program} is not installed");
    println!("skipped: needs {program}");
    false
}
