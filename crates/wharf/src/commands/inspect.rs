//! `wharf inspect`.

use std::fmt::Write as _;
use std::path::Path;

use image::inspect::Inspection;
use image::{Compression, Image, Selection};
use indicatif::HumanBytes;
use store::progress::Silent;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{progress, registries};

/// Show an image: its configuration, its layers and what is in them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf inspect ./web.nix                build it if need be, and look
  wharf inspect ./result                 an archive or an OCI layout
  wharf inspect docker://alpine:3.20     an image at a registry")]
pub(crate) struct Arguments {
    /// A target, an archive, an OCI layout, or docker://REFERENCE
    target: Option<String>,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let inspection = match arguments.target.as_deref() {
        Some(text) if text.starts_with("docker://") => return remote(text, settings),
        Some(text) if is_archive(Path::new(text)) => {
            let image = Image::open_path(Path::new(text), &settings.unpacked(), Selection::default())?;
            Inspection::of(&image, Compression::Gzip, &settings.layer_cache())
        }
        text => of_target(arguments, text, settings)?,
    };
    match settings.json {
        true => println!("{}", serde_json::to_string(&inspection)?),
        false => print!("{}", describe(&inspection)?),
    }
    Ok(0)
}

/// The manifest, or the index of several platforms, that a registry has.
fn remote(text: &str, settings: &Settings) -> Result<i32, Failure> {
    let (client, reference) = (registries::client(settings)?, registries::reference(text)?);
    let resolved = registries::wait(async { Ok(client.resolve(&reference).await?) })?;
    let manifest: serde_json::Value = serde_json::from_slice(&resolved.bytes)?;
    let digest = resolved.descriptor.digest.to_string();
    match settings.json {
        true => println!("{}", serde_json::json!({ "schema": 1, "digest": digest, "manifest": manifest })),
        false => println!("{}\n{manifest:#}", reference.with_digest(resolved.descriptor.digest)),
    }
    Ok(0)
}

/// Anything that is there and is neither an expression nor a directory with one.
fn is_archive(path: &Path) -> bool {
    match path.is_dir() {
        true => path.join("oci-layout").is_file() || path.join("image.json").is_file(),
        false => path.is_file() && path.extension().is_none_or(|extension| extension != "nix"),
    }
}

fn of_target(arguments: &Arguments, text: Option<&str>, settings: &Settings) -> Result<Inspection, Failure> {
    let target = arguments.what.target(text)?;
    let project = arguments.what.open(settings, &BuildArguments::default(), progress::observer(settings), true)?;
    let derived = project.derivations(&target)?;
    let [one] = &derived[..] else {
        return Err(Failure::usage(format!(
            "{} has {} images; name one with --attr",
            target.describe(),
            derived.len()
        )));
    };
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(project.store()?, settings, &Silent);
    let summary = artifacts.image(&one.name, &paths[0])?;
    Ok(Inspection::of(&summary.image, Compression::Gzip, &artifacts.layers))
}

fn describe(inspection: &Inspection) -> Result<String, Failure> {
    let mut text = String::new();
    writeln!(text, "{}", inspection.reference.as_deref().unwrap_or("(an image without a name)"))?;
    writeln!(text, "  id        {}", inspection.id)?;
    writeln!(text, "  platform  {}/{}", inspection.config.os, inspection.config.architecture)?;
    writeln!(text, "  size      {} in {} layers", HumanBytes(inspection.size), inspection.layers.len())?;
    let config = serde_json::to_value(&inspection.config.config)?;
    for (name, value) in config.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        writeln!(text, "  {name:<9} {value}")?;
    }
    for layer in &inspection.layers {
        let size = layer.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
        writeln!(text, "layer {:.19}… {size}", layer.diff_id.to_string())?;
        layer.store_paths.iter().try_for_each(|path| writeln!(text, "  {path}"))?;
        if let Some(comment) = layer.comment.as_ref().filter(|_| layer.store_paths.is_empty()) {
            writeln!(text, "  {comment}")?;
        }
    }
    Ok(text)
}
