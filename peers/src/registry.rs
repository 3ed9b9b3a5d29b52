//! Debian's `docker-registry` (CNCF Distribution 2.8) on loopback.

use std::fs;

use tempfile::TempDir;

use crate::{Daemon, available, command, free_port};

/// Who may use the registry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// The user `wharf` with the password `secret`, by htpasswd.
    Password,
}

/// A running registry with its own empty storage.
pub struct Registry {
    /// Its port on loopback.
    pub port: u16,
    // Dropped before the directory that it writes to.
    _daemon: Daemon,
    dir: TempDir,
}

impl Registry {
    /// Starts one, or says which program is missing.
    ///
    /// # Panics
    /// When it does not come up, or a program is missing and required.
    pub fn start(access: Access) -> Option<Self> {
        if !available(&["docker-registry"]) || (access == Access::Password && !available(&["htpasswd"])) {
            return None;
        }
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
            dir.path().join("data").display()
        );
        if access == Access::Password {
            let passwords = dir.path().join("htpasswd");
            fs::write(&passwords, crate::run("htpasswd", ["-Bbn", "wharf", "secret"])).expect("the password file");
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", passwords.display());
        }
        let file = dir.path().join("config.yml");
        fs::write(&file, config).expect("the registry's configuration");
        let mut daemon =
            Daemon::start(command("docker-registry").arg("serve").arg(&file), &dir.path().join("registry.log"));
        daemon.wait_for_port(port);
        Some(Self { port, _daemon: daemon, dir })
    }

    /// `127.0.0.1:PORT`, as it stands in an image reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Changes what the registry has stored as `digest` (`sha256:…`), as a broken disk would.
    ///
    /// # Panics
    /// When it has no such content.
    pub fn damage(&self, digest: &str) {
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        let file = blobs.join(&hex[..2]).join(hex).join("data");
        let mut content = fs::read(&file).expect("the stored content");
        // A manifest stays readable with one more line break at its end.
        content.push(b'\n');
        fs::write(&file, content).expect("the changed content");
    }
}
