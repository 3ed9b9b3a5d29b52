//! The real programs that tests compare Wharf with: nix, docker, podman, containerd, skopeo, umoci, runc, Debian's
//! docker-registry.
//!
//! Only tests and benchmarks use this crate. A missing peer makes its test say so and pass, unless `WHARF_REQUIRE_PEERS=1` is set (as the
//! gate does): then it fails. Every daemon started here listens on loopback or a Unix socket, keeps its state in a
//! temporary directory, and is killed when its handle is dropped.

mod base_image;
mod containerd;
mod daemon;
pub mod debian;
mod docker;
mod nix_daemon;
mod podman;
mod registry;
mod ssh_server;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub use base_image::push_base_image;
pub use containerd::Containerd;
pub use daemon::Daemon;
pub use docker::Docker;
pub use nix_daemon::NixDaemon;
pub use podman::Podman;
pub use registry::{Access, Registry};
pub use ssh_server::SshServer;

/// Where Debian puts programs; a user's `PATH` often lacks the `sbin` directories.
const PROGRAM_DIRS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Whether every one of `programs` is here; if not, says which is missing.
///
/// # Panics
/// When one is missing and `WHARF_REQUIRE_PEERS=1`.
pub fn available(programs: &[&str]) -> bool {
    programs.iter().all(|program| find(program).is_some() || missing(program))
}

/// Whether the test runs as root; a test that only root can run says so and is skipped otherwise.
pub fn is_root() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// Says that `what` is missing; always false.
///
/// # Panics
/// When `WHARF_REQUIRE_PEERS=1`.
pub fn missing(what: &str) -> bool {
    assert!(env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|v| v != "1"), "the peer `{what}` is required and missing");
    println!("skipped: needs {what}");
    false
}

/// The full path of a program.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(PROGRAM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// A command for a peer program, found also in the `sbin` directories.
///
/// # Panics
/// When the program is not here; ask [`available`] first.
pub fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| panic!("`{program}` is not installed")))
}

/// Runs a peer program to its end and gives its standard output.
///
/// # Panics
/// When it fails, with everything that it printed.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    succeed(command(program).args(args))
}

/// Runs `command` to its end and gives its standard output.
///
/// # Panics
/// When it fails, with everything that it printed.
pub fn succeed(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    assert!(out.status.success(), "{command:?} failed ({}):\n{}", out.status, printed(&out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// All that a program printed, for an assertion's message.
pub fn printed(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A TCP port on loopback that was free a moment ago.
///
/// # Panics
/// When the system has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
    listener.local_addr().expect("its address").port()
}

/// Takes off what a daemon has left mounted below its directory, which could not be removed otherwise.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = directory.display().to_string();
    for target in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|t| t.starts_with(&below)) {
        let _ = Command::new("umount").args(["-l", target]).status();
    }
}
