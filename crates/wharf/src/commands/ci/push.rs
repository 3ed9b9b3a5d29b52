//! `wharf ci push`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use deploy::ci::Planned;
use distribution::{Client, Error, PushOptions, Pushed, Reference};
use image::{Compression, Image};
use indicatif::HumanBytes;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{progress, registries};

/// Build a container, push it by digest, then tag it
///
/// Prints `digest=…` and `reference=…`, which forges take as a step's outputs. The last tag is `drv-HASH`, by which `wharf ci
/// plan` knows that nothing has to be done for this derivation any more.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is built: one container
    target: String,
    /// The repository, without a tag
    #[arg(long, value_name = "REPOSITORY")]
    to: String,
    /// Append a table for people to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(Some(&arguments.target))?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let [one] = &derived[..] else {
        return Err(Failure::usage(format!("{} has {} images, and one is pushed", arguments.target, derived.len())));
    };
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let images = artifacts.images(&project, one, &paths[0])?;
    let image = &images[0];
    let done = Planned {
        name: one.name.clone(),
        target: arguments.target.clone(),
        derivation: one.derivation.hash_part().to_owned(),
    };
    let options = PushOptions {
        compression: Compression::Gzip,
        cache: artifacts.layers.clone(),
        force: false,
        mount_from: Vec::new(),
    };
    let client = registries::client(settings)?;
    let repository = registries::reference(&arguments.to)?;
    let outcome = registries::wait(async {
        let version = repository.with_tag(image.tag.as_deref().unwrap_or("latest"))?;
        let before = current(&client, &version).await?;
        let pushed = client.push_platforms(&images, &version, &options, &*progress).await?;
        let marked = PushOptions { force: true, ..options.clone() };
        client.push_platforms(&images, &repository.with_tag(&done.tag())?, &marked, &*progress).await?;
        Ok(Outcome { version, before, pushed })
    })?;
    println!("digest={}", outcome.pushed.digest);
    println!("reference={}", repository.with_digest(outcome.pushed.digest));
    match &arguments.summary {
        Some(file) => append(file, &table(&outcome, image)),
        None => Ok(()),
    }?;
    Ok(0)
}

struct Outcome {
    version: Reference,
    before: Option<String>,
    pushed: Pushed,
}

/// The digest that a tag stands for now.
async fn current(client: &Client, tag: &Reference) -> Result<Option<String>, Failure> {
    match client.resolve(tag).await {
        Ok(resolved) => Ok(Some(resolved.descriptor.digest.to_string())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn table(outcome: &Outcome, image: &Image) -> String {
    let Outcome { version, before, pushed } = outcome;
    let short = |digest: &str| format!("`{}`", digest.chars().take(19).collect::<String>());
    let before = before.as_deref().map_or("none".to_owned(), short);
    let reused = image.layers.len().saturating_sub(pushed.blobs_sent);
    format!(
        "| Image | Before | Now | Sent | Layers reused |\n|---|---|---|---|---|\n| `{version}` | {before} | {} | {} | {reused} of {} |\n\n",
        short(&pushed.digest.to_string()),
        HumanBytes(pushed.bytes_sent),
        image.layers.len(),
    )
}

fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::io("write", path, error))
}
