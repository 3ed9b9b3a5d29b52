//! `wharf push`.

use std::sync::Arc;

use distribution::{CopyOptions, EarlyPush, Place, Reference, Select};
use image::{Compression, Image};
use project::{Assembled, Derived, Project};
use serde_json::json;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, Sink, TargetArguments};
use crate::{places, progress, registries};

/// Build images and send to a registry, or another place, what it lacks
#[derive(clap::Args)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name; or a place that has an image [default: .]
    target: Option<String>,
    /// Where to: names, a prefix that ends in a slash, or other places [default: the image's own name]
    #[arg(value_name = "REFERENCE")]
    references: Vec<String>,
    /// Push it under this tag too; a reference without a tag is pushed under these only
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
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

fn help() -> String {
    format!(
        "\
Examples:
  wharf push ./web.nix localhost:5000/web:1.2         one image, under this name
  wharf push .#web registry.example.org/team/         a slash at the end: the image's own name and tag below it
  wharf push .#containers registry.example.org/team/  all of a set
  wharf push .#web localhost:5000/web --tag 1.2 --tag latest
  wharf push docker-daemon:web:1.2 localhost:5000/web:1.2
  wharf push --no-store .#web localhost:5000/web:1.2  from binary caches to the registry, past the disk

A version tag that stands for another image is not moved without --force; `latest` always moves.

{}",
        places::TRANSPORTS
    )
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Squeeze {
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
    let from = arguments.target.as_deref().map(places::by_transport).transpose()?.flatten();
    let rows = match from {
        Some(from) => copy(&from, arguments, settings)?,
        None => build(arguments, settings).map_err(|failure| {
            // What looks like a flake of an unknown kind may be a place.
            match arguments.target.as_deref().and_then(places::near_transport) {
                Some(near) => failure.help(format!("did you mean {near}?")),
                None => failure,
            }
        })?,
    };
    if settings.json {
        println!("{}", json!({ "schema": 1, "pushed": rows }));
    }
    Ok(0)
}

/// What cannot be pushed to is found out before anything is built.
fn check_destinations(arguments: &Arguments, settings: &Settings) -> Result<(), Failure> {
    if arguments.references.is_empty() {
        return registries::client(settings).map(drop);
    }
    for text in &arguments.references {
        let place = places::place(text.strip_suffix('/').unwrap_or(text))?;
        places::client(&[&place], settings)?;
    }
    Ok(())
}

fn build(arguments: &Arguments, settings: &Settings) -> Result<Vec<serde_json::Value>, Failure> {
    check_destinations(arguments, settings)?;
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let early = early_push(arguments, settings)?;
    let mut how = arguments.how.clone();
    how.sink = Some(Sink(Arc::clone(&early) as _));
    let project = arguments.what.open(settings, &how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let paths = if arguments.no_store { Vec::new() } else { project.realise(&derived)? };
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let options = options(arguments, settings)?;
    let mut rows = Vec::new();
    for (number, one) in derived.iter().enumerate() {
        let assembled = if arguments.no_store { assemble(&project, one)? } else { Vec::new() };
        let images = match paths.get(number) {
            Some(path) => artifacts.images(&project, one, path)?,
            None => assembled.iter().map(|one| one.image.clone()).collect(),
        };
        let (mut bytes, mut blobs) = early.finish();
        for to in destinations(&images[0], arguments, derived.len())? {
            let client = places::client(&[&to], settings)?;
            let work = async { Ok(client.put_images(&images, &to, &options, &*progress).await?) };
            let mut pushed = registries::wait(work)?;
            // What was sent early went to the first.
            pushed.bytes_sent += std::mem::take(&mut bytes);
            pushed.blobs_sent += std::mem::take(&mut blobs);
            rows.push(places::row(&to, &pushed, settings));
            places::remarks(&pushed, &client, settings);
        }
    }
    Ok(rows)
}

/// Pushes an image that another place has.
fn copy(from: &Place, arguments: &Arguments, settings: &Settings) -> Result<Vec<serde_json::Value>, Failure> {
    if arguments.references.is_empty() {
        return Err(Failure::usage(format!("{from} has to be pushed under a name")).help("give a reference after it"));
    }
    let (options, progress) = (options(arguments, settings)?, progress::observer(settings));
    let mut rows = Vec::new();
    for text in &arguments.references {
        for to in tagged(places::place(text)?, &arguments.tag)? {
            let client = places::client(&[from, &to], settings)?;
            let pushed = registries::wait(async { Ok(client.copy(from, &to, &options, &*progress).await?) })?;
            rows.push(places::row(&to, &pushed, settings));
            places::remarks(&pushed, &client, settings);
        }
    }
    Ok(rows)
}

fn options(arguments: &Arguments, settings: &Settings) -> Result<CopyOptions, Failure> {
    let select = Select::WhatFits(places::platform(None)?);
    Ok(CopyOptions {
        compression: arguments.compression.into(),
        force: arguments.force,
        mount_from: arguments.mount_from.clone(),
        ..places::options(select, settings.layer_cache(), settings)
    })
}

/// The image, or the one for each platform, without the store.
fn assemble(project: &Project, one: &Derived) -> Result<Vec<Assembled>, Failure> {
    let each = if one.platforms.is_empty() { std::slice::from_ref(one) } else { &one.platforms[..] };
    each.iter().map(|one| Ok(project.assemble(one)?)).collect()
}

/// What sends layers while they are packed, to where the push will look for them.
fn early_push(arguments: &Arguments, settings: &Settings) -> Result<Arc<EarlyPush>, Failure> {
    let (first, tags) = (arguments.references.first().cloned(), arguments.tag.clone());
    // What can be taken over from another repository need not be sent; the push finds that out.
    let mounts = !arguments.mount_from.is_empty();
    let destination = move |image: &str| {
        if mounts {
            return None;
        }
        let text = match &first {
            None => image.to_owned(),
            Some(first) => first.strip_suffix('/').map_or_else(|| first.clone(), |prefix| format!("{prefix}/{image}")),
        };
        match tagged(places::place(&text).ok()?, &tags).ok()?.into_iter().next()? {
            Place::Registry(reference) => Some(reference),
            _ => None,
        }
    };
    let client = registries::client_settings(&settings.environment)?;
    Ok(Arc::new(EarlyPush::new(client, arguments.compression.into(), arguments.force, Box::new(destination))?))
}

/// Where an image is pushed to.
fn destinations(image: &Image, arguments: &Arguments, images: usize) -> Result<Vec<Place>, Failure> {
    let own = image.reference();
    if arguments.references.is_empty() {
        let Some(own) = own else {
            return Err(Failure::usage("the image has no name, so a reference has to be given"));
        };
        return tagged(Place::Registry(registries::reference(&own)?), &arguments.tag);
    }
    let mut found = Vec::new();
    for text in &arguments.references {
        let place = match (text.strip_suffix('/'), &own) {
            (Some(prefix), Some(own)) => Place::Registry(registries::reference(&format!("{prefix}/{own}"))?),
            (Some(_), None) => return Err(Failure::usage("the image has no name to put behind the prefix")),
            (None, _) if images > 1 => {
                return Err(Failure::usage(format!("{images} images cannot all be '{text}'"))
                    .help(format!("give a prefix, which ends in a slash: {text}/")));
            }
            (None, _) => places::place(text)?,
        };
        found.extend(tagged(place, &arguments.tag)?);
    }
    Ok(found)
}

/// The same place under each of the tags.
fn tagged(place: Place, tags: &[String]) -> Result<Vec<Place>, Failure> {
    let reference: &Reference = match &place {
        _ if tags.is_empty() => return Ok(vec![place]),
        Place::Registry(reference) => reference,
        _ => return Err(Failure::usage(format!("--tag is for registries, and {place} is none"))),
    };
    let mut places = Vec::new();
    places.extend(reference.tag().is_some().then(|| place.clone()));
    for tag in tags {
        let tagged = Place::Registry(reference.with_tag(tag)?);
        if !places.contains(&tagged) {
            places.push(tagged);
        }
    }
    Ok(places)
}
