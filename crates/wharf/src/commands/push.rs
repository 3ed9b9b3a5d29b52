//! `wharf push`.

use std::sync::Arc;

use distribution::{EarlyPush, PushOptions, Pushed, Reference};
use image::{Compression, Image};
use indicatif::HumanBytes;
use project::{Assembled, Derived, Project};
use serde_json::json;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};
use crate::target::{BuildArguments, Sink, TargetArguments};
use crate::{progress, registries};

/// Build images and send to a registry what it lacks
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf push ./web.nix localhost:5000/web:1.2         one image, under this name
  wharf push .#web registry.example.org/team/         a slash at the end: the image's own name and tag below it
  wharf push .#containers registry.example.org/team/  all of a set
  wharf push --no-store .#web localhost:5000/web:1.2  from binary caches to the registry, past the disk

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
    /// Read what binary caches have from there while it is packed, and put nothing of it into the store
    #[arg(long)]
    no_store: bool,
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
    /// The same, and podman and containerd fetch only the files that they lack
    #[value(name = "zstd:chunked")]
    ZstdChunked,
    /// Not at all
    None,
}

impl From<Squeeze> for Compression {
    fn from(squeeze: Squeeze) -> Self {
        match squeeze {
            Squeeze::Gzip => Self::Gzip,
            Squeeze::Zstd => Self::Zstd,
            Squeeze::ZstdChunked => Self::ZstdChunked,
            Squeeze::None => Self::None,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let client = registries::client(settings)?;
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let early = early_push(arguments, settings)?;
    let mut how = arguments.how.clone();
    how.sink = Some(Sink(Arc::clone(&early) as _));
    let project = arguments.what.open(settings, &how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let paths = if arguments.no_store { Vec::new() } else { project.realise(&derived)? };
    let artifacts = Artifacts::new(project.store()?, settings, &*progress);
    let options = PushOptions {
        compression: arguments.compression.into(),
        cache: artifacts.layers.clone(),
        force: arguments.force,
        mount_from: arguments.mount_from.clone(),
    };
    let mut rows = Vec::new();
    for (number, one) in derived.iter().enumerate() {
        let assembled = if arguments.no_store { assemble(&project, one)? } else { Vec::new() };
        let images = match paths.get(number) {
            Some(path) => artifacts.images(&project, one, path)?,
            None => assembled.iter().map(|one| one.image.clone()).collect(),
        };
        let (mut bytes, mut blobs) = early.finish();
        for reference in destinations(&images[0], &arguments.references, derived.len())? {
            let work = async { Ok(client.push_platforms(&images, &reference, &options, &*progress).await?) };
            let mut pushed = registries::wait(work)?;
            // What was sent early went to the first.
            pushed.bytes_sent += std::mem::take(&mut bytes);
            pushed.blobs_sent += std::mem::take(&mut blobs);
            rows.push(row(&reference, &pushed, settings));
        }
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "pushed": rows }));
    }
    Ok(0)
}

/// The image, or the one for each platform, without the store.
fn assemble(project: &Project, one: &Derived) -> Result<Vec<Assembled>, Failure> {
    let each = if one.platforms.is_empty() { std::slice::from_ref(one) } else { &one.platforms[..] };
    each.iter().map(|one| Ok(project.assemble(one)?)).collect()
}

/// What sends layers while they are packed, to where the push will look for them.
fn early_push(arguments: &Arguments, settings: &Settings) -> Result<Arc<EarlyPush>, Failure> {
    let first = arguments.references.first().cloned();
    let destination = move |image: &str| {
        let text = match &first {
            None => image.to_owned(),
            Some(first) => first.strip_suffix('/').map_or_else(|| first.clone(), |prefix| format!("{prefix}/{image}")),
        };
        registries::reference(&text).ok()
    };
    let client = registries::client_settings(&settings.environment)?;
    Ok(Arc::new(EarlyPush::new(client, arguments.compression.into(), arguments.force, Box::new(destination))?))
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
