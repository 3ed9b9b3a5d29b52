//! `wharf push`.

use distribution::{PushOptions, Pushed, Reference};
use image::{Compression, Image};
use indicatif::HumanBytes;
use serde_json::json;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};
use crate::target::{BuildArguments, TargetArguments};
use crate::{progress, registries};

/// Build images and send to a registry what it lacks
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf push ./web.nix localhost:5000/web:1.2         one image, under this name
  wharf push .#web registry.example.org/team/         a slash at the end: the image's own name and tag below it
  wharf push .#containers registry.example.org/team/  all of a set

A version tag that stands for another image is not moved without --force; `latest` always moves.")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name [default: .]
    target: Option<String>,
    /// Where to: names, or a prefix that ends in a slash [default: the image's own name]
    #[arg(value_name = "REFERENCE")]
    references: Vec<String>,
    /// How layers are compressed
    #[arg(long, value_enum, default_value_t = Squeeze::Gzip)]
    compression: Squeeze,
    /// Take layers that another repository of the registry has
    #[arg(long, value_name = "REPOSITORY")]
    mount_from: Vec<String>,
    /// Move version tags too
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Squeeze {
    /// Read by everything
    Gzip,
    /// Smaller and faster, for containerd, podman and newer docker
    Zstd,
    /// Not at all
    None,
}

impl From<Squeeze> for Compression {
    fn from(squeeze: Squeeze) -> Self {
        match squeeze {
            Squeeze::Gzip => Self::Gzip,
            Squeeze::Zstd => Self::Zstd,
            Squeeze::None => Self::None,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let client = registries::client(settings)?;
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let options = PushOptions {
        compression: arguments.compression.into(),
        cache: artifacts.layers.clone(),
        force: arguments.force,
        mount_from: arguments.mount_from.clone(),
    };
    let mut rows = Vec::new();
    for (one, path) in derived.iter().zip(&paths) {
        let image = artifacts.image(&one.name, path)?.image;
        for reference in destinations(&image, &arguments.references, derived.len())? {
            let work = async { Ok(client.push(&image, &reference, &options, &*progress).await?) };
            let pushed = registries::wait(work)?;
            rows.push(row(&reference, &pushed, settings));
        }
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "pushed": rows }));
    }
    Ok(0)
}

/// The names under which an image is pushed.
fn destinations(image: &Image, references: &[String], images: usize) -> Result<Vec<Reference>, Failure> {
    let own = image.reference();
    if references.is_empty() {
        let Some(own) = own else {
            return Err(Failure::usage("the image has no name, so a reference has to be given"));
        };
        return Ok(vec![registries::reference(&own)?]);
    }
    let mut found = Vec::new();
    for text in references {
        match (text.strip_suffix('/'), &own) {
            (Some(prefix), Some(own)) => found.push(registries::reference(&format!("{prefix}/{own}"))?),
            (Some(_), None) => return Err(Failure::usage("the image has no name to put behind the prefix")),
            (None, _) if images > 1 => {
                return Err(Failure::usage(format!("{images} images cannot all be '{text}'"))
                    .help(format!("give a prefix, which ends in a slash: {text}/")));
            }
            (None, _) => found.push(registries::reference(text)?),
        }
    }
    Ok(found)
}

/// What is said of one push: as JSON, or in a line on standard output.
fn row(reference: &Reference, pushed: &Pushed, settings: &Settings) -> serde_json::Value {
    if !settings.json && settings.verbosity >= Verbosity::Quiet {
        let outcome = match pushed.up_to_date {
            true => "up to date".to_owned(),
            false => format!(
                "sent {} in {} blobs{}",
                HumanBytes(pushed.bytes_sent),
                pushed.blobs_sent,
                if pushed.blobs_mounted > 0 { format!(", took over {}", pushed.blobs_mounted) } else { String::new() }
            ),
        };
        println!("{reference}@{}  {outcome}", pushed.digest);
    }
    json!({
        "reference": reference.to_string(),
        "digest": pushed.digest.to_string(),
        "upToDate": pushed.up_to_date,
        "bytesSent": pushed.bytes_sent,
        "blobsSent": pushed.blobs_sent,
        "blobsMounted": pushed.blobs_mounted,
    })
}
