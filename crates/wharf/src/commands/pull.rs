//! `wharf pull`.

use std::path::PathBuf;

use distribution::{Place, Select};
use indicatif::HumanBytes;
use serde_json::json;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::{places, progress, registries};

/// Get an image from a registry, or another place, as an OCI layout
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    /// The image: [REGISTRY/]NAME[:TAG][@DIGEST], or another place
    reference: String,
    /// The directory to make, or another place
    #[arg(value_name = "DIRECTORY")]
    to: String,
    /// The platform, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

fn help() -> String {
    format!(
        "\
Examples:
  wharf pull alpine:3.20 ./alpine                an OCI layout
  wharf pull alpine:3.20 docker-daemon:alpine    into docker, without its own pull
  wharf pull docker-daemon:web:1.2 ./web         what docker has

{}",
        places::TRANSPORTS
    )
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let from = places::place(&arguments.reference)?;
    match (&from, places::by_transport(&arguments.to)?) {
        (Place::Registry(reference), None) => pull(reference, PathBuf::from(&arguments.to), arguments, settings),
        (_, Some(to)) => copy(&from, &to, arguments, settings),
        (_, None) => {
            let path = PathBuf::from(&arguments.to);
            if path.exists() {
                return Err(Failure::usage(format!("{} is there already", path.display()))
                    .help(format!("to add the image to a layout, name it: oci:{}:TAG", path.display())));
            }
            copy(&from, &Place::Layout { path, name: None }, arguments, settings)
        }
    }
}

fn pull(
    reference: &distribution::Reference,
    directory: PathBuf,
    arguments: &Arguments,
    settings: &Settings,
) -> Result<i32, Failure> {
    let client = registries::client(settings)?;
    let platform = places::platform(arguments.platform.as_deref())?;
    let progress = progress::observer(settings);
    let repository = reference.repository().to_owned();
    let tag = reference.tag().unwrap_or("latest").to_owned();
    let name = Some((repository.as_str(), tag.as_str()));
    let pulled =
        registries::wait(async { Ok(client.pull(reference, &platform, &directory, name, &*progress).await?) })?;
    match settings.json {
        true => {
            let (resolved, manifest) = (pulled.resolved.to_string(), pulled.manifest.to_string());
            println!("{}", json!({ "schema": 1, "resolved": resolved, "manifest": manifest, "bytes": pulled.bytes }));
        }
        false => {
            println!("{}", reference.with_digest(pulled.resolved));
            eprintln!("pulled {} into {}", HumanBytes(pulled.bytes), directory.display());
        }
    }
    places::rate_limits(&client, settings);
    Ok(0)
}

fn copy(from: &Place, to: &Place, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    if matches!(to, Place::Registry(_)) {
        return Err(
            Failure::usage("a pull does not end at a registry").help("`wharf copy` goes from anywhere to anywhere")
        );
    }
    let client = places::client(&[from, to], settings)?;
    let select = Select::One(places::platform(arguments.platform.as_deref())?);
    let options = places::options(select, settings.layer_cache(), settings);
    let progress = progress::observer(settings);
    let copied = registries::wait(async { Ok(client.copy(from, to, &options, &*progress).await?) })?;
    let mut row = places::row(to, &copied, settings);
    if settings.json {
        row["schema"] = json!(1);
        println!("{row}");
    }
    places::remarks(&copied, &client, settings);
    Ok(0)
}
