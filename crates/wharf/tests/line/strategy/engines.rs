//! Docker, podman and Wharf itself, as three ways to run the same image.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use peers::{Docker, Podman, free_port, succeed};

use super::workplace::Workplace;

/// One way to run a container.
pub enum Engine<'a> {
    /// docker, with a daemon of its own.
    Docker(Docker),
    /// podman, with storage of its own.
    Podman(Podman),
    /// `wharf run` of the definition.
    Wharf(&'a Workplace),
}

impl<'a> Engine<'a> {
    /// All of them; `None` where a peer is missing.
    pub fn all(workplace: &'a Workplace) -> Option<Vec<Self>> {
        Some(vec![Self::Docker(Docker::start()?), Self::Podman(Podman::new()?), Self::Wharf(workplace)])
    }

    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::Podman(_) => "podman",
            Self::Wharf(_) => "wharf",
        }
    }

    /// Loads the archive that `wharf build` left; Wharf runs from its own store.
    pub fn load(&mut self, archive: &Path) {
        let archive = archive.display().to_string();
        match self {
            Self::Docker(docker) => drop(docker.run(["load", "-i", &archive])),
            Self::Podman(podman) => drop(podman.run(["load", "-i", &archive])),
            Self::Wharf(_) => {}
        }
    }

    /// Runs a command in a container to its end and gives its standard output.
    pub fn output(&self, image: &str, command: &[&str]) -> String {
        succeed(self.run(image, None).args(self.separator()).args(command))
    }

    /// Starts the image's own command; the port is where its service is reached on loopback.
    pub fn start(&self, image: &str, port: u16) -> Running {
        // Docker and podman run on the machine's network here; Wharf publishes a port of a network of its own.
        let reached = if matches!(self, Self::Wharf(_)) { free_port() } else { port };
        let child = self
            .run(image, Some((reached, port)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {image} with {}: {error}", self.name()));
        Running { child, port: reached }
    }

    fn separator(&self) -> &'static [&'static str] {
        if matches!(self, Self::Wharf(_)) { &["--"] } else { &[] }
    }

    fn run(&self, image: &str, published: Option<(u16, u16)>) -> Command {
        match self {
            Self::Docker(docker) => docker.command(["run", "--rm", "--network=host", &reference(image)]),
            Self::Podman(podman) => podman.command([
                "run",
                "--rm",
                "--network=host",
                // A machine without CAP_SYS_RESOURCE cannot raise the limits that podman asks for by default.
                "--ulimit=nofile=1024:1024",
                "--ulimit=nproc=1024:1024",
                &reference(image),
            ]),
            Self::Wharf(workplace) => {
                let mut command = workplace.wharf();
                command.arg("run").args(workplace.definition(image));
                if let Some((host, container)) = published {
                    command.arg("--publish").arg(format!("{host}:{container}"));
                }
                command
            }
        }
    }
}

/// The reference that the definitions give their images.
fn reference(image: &str) -> String {
    let tag = match image {
        "ollama" => "0.1.2",
        "forgejo" => "1.20.5",
        _ => "29.0.0",
    };
    format!("{image}:{tag}")
}

/// A container in the foreground of its client; asked to end on drop.
pub struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Where its service is reached on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The clients pass the signal on to the container and end with it.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
