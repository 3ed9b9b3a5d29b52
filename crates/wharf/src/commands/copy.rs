//! `wharf copy`.

use distribution::Select;
use serde_json::json;

use crate::commands::push::Squeeze;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{places, progress, registries};

/// Copy an image from any place to any other
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    /// Where the image is: docker://NAME, oci:DIRECTORY, docker-daemon:NAME …
    from: String,
    /// Where it shall be
    to: String,
    /// All platforms, and an error where one of the places holds only one [default: all where both can]
    #[arg(long, conflicts_with = "platform")]
    all: bool,
    /// Only the image for this platform, as linux/arm64
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Fail rather than give the image another digest
    #[arg(long)]
    preserve_digests: bool,
    /// How layers are compressed that their source keeps without compression
    #[arg(long, value_enum, default_value_t = Squeeze::Gzip)]
    compression: Squeeze,
    /// Take layers that another repository of the registry has
    #[arg(long, value_name = "REPOSITORY")]
    mount_from: Vec<String>,
    /// Move version tags of a registry too
    #[arg(long)]
    force: bool,
}

fn help() -> String {
    format!(
        "\
Examples:
  wharf copy docker.io/library/alpine:3.20 localhost:5000/alpine:3.20   from registry to registry, all platforms
  wharf copy docker-daemon:web:1.2 registry.example.org/web:1.2         what docker has, through no file
  wharf copy --platform linux/arm64 docker://alpine:3.20 oci:./alpine:3.20

{}

Digests stay as they are, except that docker keeps no manifests, and podman no compressed layers: then that is said.
A version tag that stands for another image is not moved without --force.",
        places::TRANSPORTS
    )
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let (from, to) = (places::place(&arguments.from)?, places::place(&arguments.to)?);
    let platform = places::platform(arguments.platform.as_deref())?;
    let select = match (arguments.all, &arguments.platform) {
        (true, _) => Select::All,
        (false, Some(_)) => Select::One(platform),
        (false, None) => Select::WhatFits(platform),
    };
    let mut options = places::options(select, settings.layer_cache(), settings);
    options.preserve_digests = arguments.preserve_digests;
    options.compression = arguments.compression.into();
    options.force = arguments.force;
    options.mount_from.clone_from(&arguments.mount_from);
    let client = places::client(&[&from, &to], settings)?;
    let progress = progress::observer(settings);
    let copied = registries::wait(async { Ok(client.copy(&from, &to, &options, &*progress).await?) })?;
    let mut row = places::row(&to, &copied, settings);
    if settings.json {
        row["schema"] = json!(1);
        println!("{row}");
    }
    places::remarks(&copied, &client, settings);
    Ok(0)
}
