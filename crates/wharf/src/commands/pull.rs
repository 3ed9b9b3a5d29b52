//! `wharf pull`.

use std::path::PathBuf;

use distribution::Platform;
use indicatif::HumanBytes;
use serde_json::json;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::{progress, registries};

/// Get an image from a registry as an OCI layout
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wharf pull alpine:3.20 ./alpine")]
pub(crate) struct Arguments {
    /// The image: [REGISTRY/]NAME[:TAG][@DIGEST]
    reference: String,
    /// The directory to make
    directory: PathBuf,
    /// The platform, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let client = registries::client(settings)?;
    let reference = registries::reference(&arguments.reference)?;
    let platform = platform(arguments.platform.as_deref())?;
    let progress = progress::observer(settings);
    let repository = reference.repository().to_owned();
    let tag = reference.tag().unwrap_or("latest").to_owned();
    let name = Some((repository.as_str(), tag.as_str()));
    let pulled = registries::wait(async {
        Ok(client.pull(&reference, &platform, &arguments.directory, name, &*progress).await?)
    })?;
    match settings.json {
        true => {
            let (resolved, manifest) = (pulled.resolved.to_string(), pulled.manifest.to_string());
            println!("{}", json!({ "schema": 1, "resolved": resolved, "manifest": manifest, "bytes": pulled.bytes }));
        }
        false => {
            println!("{}", reference.with_digest(pulled.resolved));
            eprintln!("pulled {} into {}", HumanBytes(pulled.bytes), arguments.directory.display());
        }
    }
    Ok(0)
}

fn platform(text: Option<&str>) -> Result<Platform, Failure> {
    let here = || format!("linux/{}", image::media::architecture(std::env::consts::ARCH));
    let text = text.map_or_else(here, str::to_owned);
    let mut parts = text.split('/').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None) => Ok(Platform { architecture, os, variant }),
        _ => Err(Failure::usage(format!("'{text}' is no platform")).help("write it as linux/amd64 or linux/arm/v7")),
    }
}
