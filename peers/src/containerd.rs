//! A real containerd with its own state, so that no test touches the machine's.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::{Daemon, available, command, is_root, succeed, unmount_below};

/// A running `containerd`, reached through its own socket.
pub struct Containerd {
    socket: PathBuf,
    dir: TempDir,
    daemon: Option<Daemon>,
    containers: AtomicU32,
}

impl Containerd {
    /// Starts one, or says what is missing (the programs, or root).
    ///
    /// # Panics
    /// When it does not come up, or a program is missing and required.
    pub fn start() -> Option<Self> {
        if !available(&["containerd", "ctr", "runc"]) || !is_root() {
            return None;
        }
        let dir = TempDir::new().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let socket = path("containerd.sock");
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{}\"\n[ttrpc]\naddress = \"{}\"\n",
            path("root").display(),
            path("state").display(),
            socket.display(),
            path("ttrpc.sock").display()
        );
        fs::write(path("config.toml"), config).expect("containerd's configuration");
        let mut containerd = command("containerd");
        containerd.arg("--config").arg(path("config.toml"));
        let mut daemon = Daemon::start(&mut containerd, &path("containerd.log"));
        let mut started = Self { socket, dir, daemon: None, containers: AtomicU32::new(0) };
        daemon.wait_until(|| started.command(["version"]).output().is_ok_and(|out| out.status.success()));
        started.daemon = Some(daemon);
        Some(started)
    }

    /// The environment in which a plain `ctr` talks to this daemon.
    pub fn environment(&self) -> [(&'static str, PathBuf); 1] {
        [("CONTAINERD_ADDRESS", self.socket.clone())]
    }

    /// A `ctr` command that talks to this daemon.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut ctr = command("ctr");
        ctr.envs(self.environment()).args(args);
        ctr
    }

    /// Runs a `ctr` command and gives its standard output.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        succeed(&mut self.command(args))
    }

    /// Runs a container of `image` in `namespace` to its end, on the host's network, and gives its standard output.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    pub fn run_container(&self, namespace: &str, image: &str) -> String {
        let id = format!("peer-{}", self.containers.fetch_add(1, Ordering::Relaxed));
        self.run(["--namespace", namespace, "run", "--rm", "--net-host", image, &id])
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.daemon = None;
        // Mounts of containers that a failed test has left keep the directory busy.
        unmount_below(self.dir.path());
    }
}
