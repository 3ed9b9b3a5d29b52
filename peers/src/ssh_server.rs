//! An `sshd` on loopback, with keys of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Daemon, available, command, free_port, run};

/// A running server that lets the user of the test in.
pub struct SshServer {
    /// Its port on loopback.
    pub port: u16,
    _daemon: Daemon,
    dir: TempDir,
}

impl SshServer {
    /// Starts one, or says which program is missing.
    ///
    /// # Panics
    /// When it does not come up, or a program is missing and required.
    pub fn start() -> Option<Self> {
        if !available(&["sshd", "ssh", "ssh-keygen"]) {
            return None;
        }
        let dir = TempDir::new().expect("a temporary directory");
        let file = |name: &str| dir.path().join(name).display().to_string();
        for key in ["host", "user"] {
            run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", &file(key)]);
        }
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            file("host"),
            file("user.pub"),
        );
        fs::write(dir.path().join("sshd_config"), config).expect("the server's configuration");
        // Where Debian's is confined to; its service makes it.
        if Path::new("/run").exists() {
            let _ = fs::create_dir("/run/sshd");
        }
        let mut sshd = command("sshd");
        sshd.args(["-D", "-e", "-f", &file("sshd_config")]);
        let mut daemon = Daemon::start(&mut sshd, &dir.path().join("log"));
        daemon.wait_for_port(port);
        Some(Self { port, _daemon: daemon, dir })
    }

    /// The user's key.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("user")
    }

    /// `user@127.0.0.1:PORT`.
    pub fn destination(&self) -> String {
        format!("{}@127.0.0.1:{}", run("id", ["-un"]).trim(), self.port)
    }

    /// A file of known hosts in which it is.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn known_hosts(&self) -> PathBuf {
        let key = fs::read_to_string(self.dir.path().join("host.pub")).expect("the host's key");
        let file = self.dir.path().join("known_hosts");
        fs::write(&file, format!("[127.0.0.1]:{} {key}", self.port)).expect("a file of known hosts");
        file
    }

    /// Its own public key, in base 64 as in the last word of a line of `/etc/nix/machines`.
    pub fn host_key(&self) -> String {
        let key = self.dir.path().join("host.pub");
        let mut base64 = command("base64");
        crate::succeed(base64.arg("-w0").arg(key)).trim().to_owned()
    }
}
