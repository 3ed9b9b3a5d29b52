//! What `nix/docker-tools.nix` asks of `builtin:oci-image`: the attribute `image` of the derivation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::compress::Compression;
use crate::config::ContainerConfig;
use crate::error::ImageError;
use crate::pack::RootDirectory;

/// An image to be made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Definition {
    pub name: String,
    /// Without one, the hash part of the output's path.
    pub tag: Option<String>,
    /// `now`, or a date in RFC 3339.
    pub created: String,
    pub architecture: String,
    pub variant: Option<String>,
    pub config: Option<Map<String, Value>>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub from_image: Option<PathBuf>,
    pub from_image_name: Option<String>,
    pub from_image_tag: Option<String>,
    pub compressor: Compressor,
    #[serde(rename = "includeNixDB")]
    pub include_nix_db: bool,
    /// Whether what the configuration does not say is the base image's.
    #[serde(default)]
    pub inherit_config: bool,
    /// Whether the manifest tells nix-snapshotter what is in layers.
    #[serde(default)]
    pub nix_snapshotter: bool,
    /// Directories that are at the root whatever the contents are.
    #[serde(default)]
    pub directories: Vec<RootDirectory>,
    pub layers: Layers,
}

/// How the image's archive is compressed as a whole.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compressor {
    None,
    Gz,
    Zstd,
}

impl From<Compressor> for Compression {
    fn from(compressor: Compressor) -> Self {
        match compressor {
            Compressor::None => Self::None,
            Compressor::Gz => Self::Gzip,
            Compressor::Zstd => Self::Zstd,
        }
    }
}

impl Layers {
    /// What is copied or linked to the image's root.
    pub fn contents(&self) -> &[PathBuf] {
        match self {
            Self::Single(single) => &single.contents,
            Self::Layered(layered) => &layered.contents,
        }
    }
}

/// How the content is laid out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Layers {
    Single(Single),
    Layered(Layered),
}

/// `buildImage`: one layer, with the contents copied to `/` and what they refer to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Single {
    pub contents: Vec<PathBuf>,
    pub keep_contents_dirlinks: bool,
    /// The output of a derivation that has copied the contents and changed them: `layer.tar`.
    pub customised: Option<PathBuf>,
    pub uid: u32,
    pub gid: u32,
}

/// `buildLayeredImage`: store objects in layers of their own, and links to the contents at `/`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Layered {
    pub contents: Vec<PathBuf>,
    /// The output of a derivation that has linked the contents and changed them: `layer.tar`.
    pub customised: Option<PathBuf>,
    pub include_store_paths: bool,
    /// Layers whose content the user decides, the lowest first.
    #[serde(default)]
    pub groups: Vec<Group>,
    pub max_layers: usize,
    /// The user's own plan, instead of ours.
    pub layering_pipeline: Option<Value>,
    /// Whether the log is to list the layers.
    pub debug: bool,
    pub mtime: String,
    pub uid: u32,
    pub gid: u32,
    pub uname: String,
    pub gname: String,
}

/// A layer with everything that `deps` need and no lower layer has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    pub deps: Vec<PathBuf>,
    pub ignore: Vec<PathBuf>,
    pub perms: Vec<Perm>,
}

/// Modes and owners of a part of a group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Perm {
    pub path: PathBuf,
    pub regex: String,
    /// In octal digits.
    pub mode: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Members of Docker's configuration besides those that [`ContainerConfig`] names.
const OTHER_MEMBERS: &[&str] = &[
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "CpuShares",
    "Domainname",
    "Hostname",
    "Image",
    "MacAddress",
    "Memory",
    "MemorySwap",
    "NetworkDisabled",
    "OnBuild",
    "OpenStdin",
    "Shell",
    "StdinOnce",
    "StopTimeout",
    "Tty",
];
const MEMBERS: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
];

/// The container's configuration. Docker reads the names of members without regard to case, and so does this.
pub(super) fn container_config(config: Map<String, Value>) -> Result<ContainerConfig, ImageError> {
    let mut members = Map::new();
    for (name, value) in config {
        let known = MEMBERS.iter().chain(OTHER_MEMBERS).find(|known| known.eq_ignore_ascii_case(&name));
        let known = known.ok_or_else(|| {
            ImageError::Definition(format!("config.{name}: there is no such member; there are {}", MEMBERS.join(", ")))
        })?;
        if !value.is_null() && members.insert((*known).to_owned(), value).is_some() {
            return Err(ImageError::Definition(format!("config.{name}: {known} is set twice")));
        }
    }
    serde_json::from_value(Value::Object(members)).map_err(|error| ImageError::Definition(format!("config: {error}")))
}

/// The date of an option: `now`, or what it says.
pub(super) fn date(option: &str, text: &str) -> Result<Timestamp, ImageError> {
    if text == "now" {
        return Ok(Timestamp::now());
    }
    text.parse().map_err(|error| {
        ImageError::Definition(format!(
            "{option}: `{text}` is neither `now` nor a date such as `1970-01-01T00:00:01Z`: {error}"
        ))
    })
}
