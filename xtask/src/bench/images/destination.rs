//! The registry that both sides push to, new for each cold run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use peers::{Access, Daemon, Registry, free_port};
use tempfile::TempDir;

/// Which registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Wharf's own
    Wharf,
    /// Debian's docker-registry, which takes three times as much processor time for each byte
    DockerRegistry,
}

/// A running registry.
pub enum Destination {
    Wharf { port: u16, _daemon: Daemon, _dir: TempDir },
    DockerRegistry(Registry),
}

impl Destination {
    /// Starts an empty one.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn start(kind: Kind, wharf: &Path) -> Result<Self> {
        if kind == Kind::DockerRegistry {
            return Registry::start(Access::Open).map(Self::DockerRegistry).context("docker-registry does not start");
        }
        let dir = TempDir::new()?;
        let port = free_port();
        let mut serve = Command::new(wharf);
        serve
            .args(["registry", "serve", "--listen", &format!("127.0.0.1:{port}"), "--root"])
            .arg(dir.path().join("data"));
        let mut daemon = Daemon::start(&mut serve, &dir.path().join("log"));
        daemon.wait_for_port(port);
        Ok(Self::Wharf { port, _daemon: daemon, _dir: dir })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        match self {
            Self::Wharf { port, .. } => format!("127.0.0.1:{port}"),
            Self::DockerRegistry(registry) => registry.host(),
        }
    }
}
