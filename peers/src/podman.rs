//! Podman with its own storage, so that no test touches the user's.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{available, command, is_root, succeed};

/// Podman on temporary storage; needs no daemon.
pub struct Podman {
    dir: TempDir,
}

impl Podman {
    /// Prepares one, or says what is missing (the programs, or root).
    ///
    /// # Panics
    /// When a program is missing and required.
    pub fn new() -> Option<Self> {
        if !available(&["podman", "runc"]) || !is_root() {
            return None;
        }
        Some(Self { dir: TempDir::new().expect("a temporary directory") })
    }

    /// A `podman` command on this storage.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut podman = command("podman");
        podman
            .arg("--root")
            .arg(self.dir.path().join("root"))
            .arg("--runroot")
            .arg(self.dir.path().join("run"))
            // Each has a place of its own for its state: a reset of one must not take the others'.
            .arg("--tmpdir")
            .arg(self.dir.path().join("tmp"))
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime", "runc"])
            .args(args);
        podman
    }

    /// Runs a `podman` command and gives its standard output.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        succeed(&mut self.command(args))
    }

    /// The environment in which a plain `podman` uses this storage.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let (root, run) = (self.dir.path().join("root"), self.dir.path().join("run"));
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            root.display(),
            run.display()
        );
        let engine = format!(
            "[engine]\ntmp_dir = \"{}\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\n\
             [containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
            self.dir.path().join("tmp").display()
        );
        [("CONTAINERS_STORAGE_CONF", "storage.conf", storage), ("CONTAINERS_CONF", "containers.conf", engine)].map(
            |(variable, name, text)| {
                let file = self.dir.path().join(name);
                fs::write(&file, text).expect("podman's configuration");
                (variable, file)
            },
        )
    }

    /// Runs a container of `image` to its end, on the host's network, and gives its standard output.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    pub fn run_container<S: AsRef<OsStr>>(&self, image: &str, args: impl IntoIterator<Item = S>) -> String {
        let mut podman = self.command(["run", "--rm", "--network=host"]);
        // A machine without CAP_SYS_RESOURCE cannot raise the limits that podman asks for by default.
        podman.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", image]).args(args);
        succeed(&mut podman)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Files of other users' ids and read-only directories: podman removes them better than a plain removal.
        let _ = self.command(["system", "reset", "--force"]).output();
    }
}
