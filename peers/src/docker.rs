//! A real Docker daemon with its own state, so that no test touches the machine's.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Daemon, available, command, is_root, succeed, unmount_below};

/// A running `dockerd`, reached through its own socket.
pub struct Docker {
    socket: PathBuf,
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl Docker {
    /// Starts one, or says what is missing (the programs, or root).
    ///
    /// # Panics
    /// When it does not come up, or a program is missing and required.
    pub fn start() -> Option<Self> {
        if !available(&["dockerd", "docker", "containerd", "runc"]) || !is_root() {
            return None;
        }
        let dir = TempDir::new().expect("a temporary directory");
        let socket = dir.path().join("docker.sock");
        let mut dockerd = command("dockerd");
        dockerd
            .args(["--storage-driver=vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"])
            // A machine without CAP_SYS_RESOURCE cannot raise the limits that dockerd asks for by default.
            .args(["--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=1024:1024"])
            .arg("--data-root")
            .arg(dir.path().join("data"))
            .arg("--exec-root")
            .arg(dir.path().join("exec"))
            .arg("--pidfile")
            .arg(dir.path().join("docker.pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()));
        let daemon = Daemon::start(&mut dockerd, &dir.path().join("dockerd.log"));
        let mut docker = Self { socket, dir, daemon: None };
        let mut daemon = daemon;
        daemon.wait_until(|| docker.command(["info"]).output().is_ok_and(|out| out.status.success()));
        docker.daemon = Some(daemon);
        Some(docker)
    }

    /// `unix://…`, as `DOCKER_HOST` wants it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A `docker` command that talks to this daemon.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut docker = command("docker");
        docker.arg("--host").arg(self.host()).env("DOCKER_CONFIG", self.dir.path()).args(args);
        docker
    }

    /// Runs a `docker` command and gives its standard output.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        succeed(&mut self.command(args))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.daemon = None;
        // dockerd leaves mounts of its network name spaces behind, which keep the directory busy.
        unmount_below(self.dir.path());
    }
}
