//! Rendering: a definition and the digests of its images become the files of a target.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::check::{self, Problem};
use crate::definition::Definition;
use crate::support::{self, Support};
use crate::{compose, kubernetes, nixos, quadlet};

/// Where containers are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Kubernetes manifests.
    Kubernetes,
    /// A NixOS module over `virtualisation.oci-containers`.
    Nixos,
    /// podman's units for systemd.
    Quadlet,
    /// A Compose file.
    Compose,
}

impl Target {
    /// All targets, in the order in which they are shown.
    pub const ALL: [Target; 4] = [Target::Kubernetes, Target::Nixos, Target::Quadlet, Target::Compose];

    /// The name that is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Target::Kubernetes => "kubernetes",
            Target::Nixos => "nixos",
            Target::Quadlet => "quadlet",
            Target::Compose => "compose",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Target {
    type Err = RenderError;

    fn from_str(name: &str) -> Result<Target, RenderError> {
        Target::ALL
            .into_iter()
            .find(|target| target.as_str() == name)
            .ok_or_else(|| RenderError::UnknownTarget(name.to_owned()))
    }
}

/// An image as a container runtime finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// Registry and repository, without tag and digest: `registry.example.org/team/web`.
    pub repository: String,
    /// The tag, which is shown to people only: what is run is the digest.
    pub tag: Option<String>,
    /// The manifest's digest: `sha256:…`.
    pub digest: String,
}

impl ResolvedImage {
    /// The reference that pins the image: `repository@digest`.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// The images of a definition's containers, by the container's name.
pub type Images = BTreeMap<String, ResolvedImage>;

/// What is decided when rendering, and not by the definition.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions {
    /// Kubernetes: the namespace, which is then made as well.
    pub namespace: Option<String>,
}

/// The files of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendering {
    /// The files, in the order in which they are to be shown.
    pub files: Vec<RenderedFile>,
    /// What the target cannot do quite as the definition says.
    pub warnings: Vec<Warning>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Relative to the directory that everything is written to.
    pub path: PathBuf,
    /// The text.
    pub contents: String,
}

/// An option that a target honours only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The container.
    pub container: String,
    /// The option, as in `containers.<name>.<option>`.
    pub option: String,
    /// What happens instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "containers.{}.{}: {}", self.container, self.option, self.message)
    }
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no target of this name.
    #[error("there is no target \"{0}\"; the targets are kubernetes, nixos, quadlet and compose")]
    UnknownTarget(String),
    /// The definition contradicts itself, or asks for what the target cannot do.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// A text cannot be written as YAML.
    #[error("cannot write the manifests as YAML: {0}")]
    Yaml(String),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Renders a definition. Equal input gives equal bytes.
///
/// # Errors
/// All problems of the definition at once; those with the images; or YAML that cannot be written.
pub fn render(
    definition: &Definition,
    images: &Images,
    target: Target,
    options: &RenderOptions,
) -> Result<Rendering, RenderError> {
    let mut problems = check::definition(definition);
    problems.extend(check::images(definition, images));
    problems.extend(check::options(options));
    let mut warnings = Vec::new();
    for (name, container) in &definition.containers {
        for option in support::used(container) {
            match support::judge(option, container, target) {
                Support::Native | Support::Emulated(_) => {}
                Support::Warning(message) => {
                    warnings.push(Warning {
                        container: name.clone(),
                        option: option.to_owned(),
                        message: message.to_owned(),
                    });
                }
                Support::Error(message) => {
                    problems.push(Problem::new(name, option, format!("{message} (target {target})")));
                }
            }
        }
    }
    problems.extend(check::target(definition, target));
    if !problems.is_empty() {
        return Err(RenderError::Problems(problems));
    }
    let files = match target {
        Target::Kubernetes => kubernetes::render(definition, images, options)?,
        Target::Nixos => nixos::render(definition, images),
        Target::Quadlet => quadlet::render(definition, images),
        Target::Compose => compose::render(definition, images)?,
    };
    Ok(Rendering { files, warnings })
}
