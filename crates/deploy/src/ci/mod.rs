//! Pipelines that build, push and tag the containers of a repository, for the forges' own runners.
//!
//! The pipelines decide by *derivation*: a first job evaluates every container, and those whose derivation the registry
//! has already, under the tag `drv-<hash>`, are left alone. The rest are built each in a job of its own; on the main
//! branch they are pushed by digest first and tagged when everything is there.

mod gitlab;

use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

pub use gitlab::child_pipeline;

use crate::render::RenderedFile;

/// Where a repository lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// GitHub Actions.
    Github,
    /// Forgejo Actions.
    Forgejo,
    /// GitLab CI.
    Gitlab,
}

impl Forge {
    /// All forges.
    pub const ALL: [Forge; 3] = [Forge::Github, Forge::Forgejo, Forge::Gitlab];

    /// The name that is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Forge::Github => "github",
            Forge::Forgejo => "forgejo",
            Forge::Gitlab => "gitlab",
        }
    }

    /// The file that the forge reads, relative to the repository.
    pub fn path(self) -> PathBuf {
        PathBuf::from(match self {
            Forge::Github => ".github/workflows/containers.yaml",
            Forge::Forgejo => ".forgejo/workflows/containers.yaml",
            Forge::Gitlab => ".gitlab-ci.yml",
        })
    }
}

impl FromStr for Forge {
    type Err = CiError;

    fn from_str(name: &str) -> Result<Forge, CiError> {
        let found = Forge::ALL.into_iter().find(|forge| forge.as_str() == name);
        found.ok_or_else(|| CiError::UnknownForge(name.to_owned()))
    }
}

/// What a pipeline is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The branch whose containers are pushed.
    pub branch: String,
    /// What is built: `.#containers`.
    pub target: String,
    /// The registry and what all repositories' names begin with: `ghcr.io/example`.
    pub registry: String,
    /// Where the jobs get the static binary from.
    pub binary_url: String,
    /// That binary's SHA-256, 64 hexadecimal digits.
    pub binary_sha256: String,
}

/// A container that has to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Its name, which is also its repository's below the registry's prefix.
    pub name: String,
    /// What `wharf build` takes to build it alone.
    pub target: String,
    /// The hash part of its derivation's store path.
    pub derivation: String,
}

impl Planned {
    /// The tag by which the registry tells that it has this derivation's image.
    pub fn tag(&self) -> String {
        format!("drv-{}", self.derivation)
    }
}

/// Why there is no pipeline.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// There is no such forge.
    #[error("there is no forge \"{0}\"; there are github, forgejo and gitlab")]
    UnknownForge(String),
    /// A setting has characters that would mean something else in the pipeline.
    #[error("the {setting} {value:?} cannot stand in a pipeline: only letters, digits and {allowed} can")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it is.
        value: String,
        /// The characters that it may have beside letters and digits.
        allowed: &'static str,
    },
}

/// What a setting may be made of. Everything else could end a YAML string, a shell word or start an expression.
const ALLOWED: &str = "._-/#:+%~=?";

/// Writes the pipeline of a forge.
///
/// # Errors
/// A setting that is empty, or that has other characters than letters, digits and a few marks.
pub fn init(forge: Forge, settings: &Settings) -> Result<RenderedFile, CiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ALLOWED.contains(c);
    let named = [
        ("branch", &settings.branch),
        ("target", &settings.target),
        ("registry", &settings.registry),
        ("address of the binary", &settings.binary_url),
        ("hash of the binary", &settings.binary_sha256),
    ];
    for (setting, value) in named {
        if value.is_empty() || value.starts_with('-') || !value.chars().all(plain) {
            return Err(CiError::Setting { setting, value: value.clone(), allowed: ALLOWED });
        }
    }
    let template = match forge {
        Forge::Github => include_str!("templates/github.yaml"),
        Forge::Forgejo => include_str!("templates/forgejo.yaml"),
        Forge::Gitlab => include_str!("templates/gitlab.yml"),
    };
    let install = match forge {
        Forge::Github | Forge::Forgejo => {
            indented(&format!("{INSTALL}echo \"$HOME/.local/bin\" >> \"$GITHUB_PATH\"\n"), 10)
        }
        Forge::Gitlab => gitlab::install_lines(4),
    };
    let contents = template
        .replace("@BRANCH@", &settings.branch)
        .replace("@TARGET@", &settings.target)
        .replace("@REGISTRY@", &settings.registry)
        .replace("@WHARF_URL@", &settings.binary_url)
        .replace("@WHARF_SHA256@", &settings.binary_sha256)
        .replace("@IMAGE@", gitlab::JOB_IMAGE)
        .replace("@INSTALL@\n", &install);
    Ok(RenderedFile { path: forge.path(), contents })
}

/// Shell lines that put the binary into PATH, after its hash has been checked.
const INSTALL: &str = include_str!("install.sh");

fn indented(text: &str, width: usize) -> String {
    text.lines().map(|line| format!("{:width$}{line}\n", "")).collect()
}
