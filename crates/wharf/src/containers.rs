//! Docker and podman as programs that an image can be handed to.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};

use image::{Compression, Image, LayerCache, archive};

use crate::failure::Failure;

/// A program that runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Docker
    Docker,
    /// Podman
    Podman,
}

impl Engine {
    /// The program's name.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// The one that is installed, docker first.
    pub(crate) fn installed() -> Result<Self, Failure> {
        let found = |engine: &Self| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|dir| dir.join(engine.program()).is_file())
        };
        [Self::Docker, Self::Podman].into_iter().find(found).ok_or_else(|| {
            Failure::new("neither docker nor podman is installed")
                .help("`wharf run` needs neither of them; `wharf build` leaves an archive for other machines")
        })
    }

    /// Loads an image through a pipe: nothing is written to a disk on the way.
    pub(crate) fn load(self, image: &Image, cache: &LayerCache) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot run {}", self.program())).because(error.to_string());
        let mut child = Command::new(self.program())
            .args(["load", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let written = match child.stdin.take() {
            Some(pipe) => {
                let mut pipe = BufWriter::with_capacity(1 << 20, pipe);
                let format = archive::Format::Docker;
                archive::write(std::slice::from_ref(image), format, Compression::None, cache, &mut pipe)
                    .map_err(Failure::from)
                    .and_then(|()| pipe.flush().map_err(failed))
            }
            None => Ok(()),
        };
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            // The program has said on standard error what it did not like.
            return Err(Failure::new(format!("{} did not take the image ({})", self.program(), output.status)));
        }
        written
    }
}
