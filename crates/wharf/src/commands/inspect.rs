//! `wharf inspect`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::inspect::Inspection;
use image::survey::{Survey, Weight};
use image::{Compression, LayerCache, platforms};
use indicatif::HumanBytes;
use serde_json::json;

use crate::any_image::Opened;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::TargetArguments;
use crate::{any_image, inspect_page, output, places, registries};

/// How many of the largest files are named.
const LARGEST: usize = 10;

/// Show an image: its configuration, its layers and what is in them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf inspect ./web.nix                build it if need be, and look
  wharf inspect ./result                 an archive or an OCI layout
  wharf inspect docker://alpine:3.20     the manifest that a registry has; --files gets the layers too
  wharf inspect docker-daemon:web:1.2    what docker has; so with containers-storage: and containerd:
  wharf inspect --html page.html .#web   a page with a map of what takes how much room")]
pub(crate) struct Arguments {
    /// A target, an archive, an OCI layout, docker://REFERENCE, or another place such as docker-daemon:NAME
    target: Option<String>,
    /// Print the manifest, or the index of several platforms, byte for byte
    #[arg(long)]
    raw: bool,
    /// Get the layers of an image at a registry, and say what they hold
    #[arg(long)]
    files: bool,
    /// Write a page for a browser
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    html: Option<PathBuf>,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    if let Some(text) = arguments.target.as_deref().filter(|text| any_image::is_remote(text))
        && !arguments.files
        && arguments.html.is_none()
    {
        return remote(text, arguments.raw, settings);
    }
    let opened = any_image::open(arguments.target.as_deref(), &arguments.what, settings)?;
    let cache = settings.layer_cache();
    if arguments.raw {
        output::write_bytes(&raw(&opened, &cache)?);
        return Ok(0);
    }
    let inspection = Inspection::of(&opened.image, Compression::Gzip, &cache);
    let survey = Survey::of(&opened.image)?;
    if let Some(file) = &arguments.html {
        write_page(file, &inspect_page::render(&inspection, &survey)?)?;
    }
    let mut json = to_json(&inspection, &survey)?;
    let mut text = describe(&inspection, &survey)?;
    if !opened.platforms.is_empty() {
        let each = opened.platforms.iter().map(|image| {
            let (inspection, survey) = (Inspection::of(image, Compression::Gzip, &cache), Survey::of(image)?);
            Ok((to_json(&inspection, &survey)?, describe(&inspection, &survey)?))
        });
        let each: Vec<_> = each.collect::<Result<_, Failure>>()?;
        text = each.iter().map(|(_, text)| text.as_str()).collect();
        json["platforms"] = each.into_iter().map(|(json, _)| json).collect();
    }
    match settings.json {
        true => println!("{json}"),
        false => print!("{text}"),
    }
    Ok(0)
}

/// The manifest, or for several platforms the index, as a push with gzip sends it.
fn raw(opened: &Opened, cache: &LayerCache) -> Result<Vec<u8>, Failure> {
    if opened.platforms.is_empty() {
        return Ok(opened.image.manifest(Compression::Gzip, cache)?);
    }
    let manifests = opened.platforms.iter().map(|image| image.manifest(Compression::Gzip, cache));
    Ok(platforms::index(&opened.platforms, &manifests.collect::<Result<Vec<_>, _>>()?))
}

fn write_page(file: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(file, page).map_err(|error| Failure::io("write", file, error))
}

/// The manifest, or the index of several platforms, that a registry has.
fn remote(text: &str, raw: bool, settings: &Settings) -> Result<i32, Failure> {
    let (client, reference) = (registries::client(settings)?, registries::reference(text)?);
    let resolved = registries::wait(async { Ok(client.resolve(&reference).await?) })?;
    places::rate_limits(&client, settings);
    if raw {
        output::write_bytes(&resolved.bytes);
        return Ok(0);
    }
    let manifest: serde_json::Value = serde_json::from_slice(&resolved.bytes)?;
    let digest = resolved.descriptor.digest.to_string();
    match settings.json {
        true => println!("{}", json!({ "schema": 1, "digest": digest, "manifest": manifest })),
        false => println!("{}\n{manifest:#}", reference.with_digest(resolved.descriptor.digest)),
    }
    Ok(0)
}

fn to_json(inspection: &Inspection, survey: &Survey) -> Result<serde_json::Value, Failure> {
    let mut value = serde_json::to_value(inspection)?;
    let weights = survey.weights();
    for (number, weight) in weights.iter().enumerate() {
        value["layers"][number]["weight"] = serde_json::to_value(weight)?;
        value["layers"][number]["parts"] = serde_json::to_value(survey.parts(number))?;
    }
    value["schema"] = json!(1);
    value["wasted"] = json!(wasted(&weights));
    value["largest"] =
        survey.largest(LARGEST).iter().map(|(path, size)| json!({ "path": path, "size": size })).collect();
    Ok(value)
}

/// Bytes that no container can see, or that are there twice.
pub(crate) fn wasted(weights: &[Weight]) -> u64 {
    weights.iter().map(|weight| weight.hidden + weight.repeated).sum()
}

fn describe(inspection: &Inspection, survey: &Survey) -> Result<String, Failure> {
    let mut text = String::new();
    let (config, weights) = (&inspection.config, survey.weights());
    writeln!(text, "{}", inspection.reference.as_deref().unwrap_or("(an image without a name)"))?;
    writeln!(text, "  id        {}", inspection.id)?;
    writeln!(text, "  platform  {}/{}", config.os, config.architecture)?;
    let bytes = weights.iter().map(|weight| weight.bytes).sum();
    writeln!(text, "  size      {} in {} layers", HumanBytes(bytes), inspection.layers.len())?;
    writeln!(text, "  wasted    {}", HumanBytes(wasted(&weights)))?;
    let members = serde_json::to_value(&config.config)?;
    for (name, value) in members.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        writeln!(text, "  {name:<9} {value}")?;
    }
    for (number, (layer, weight)) in inspection.layers.iter().zip(&weights).enumerate() {
        let digest = layer.diff_id.to_string();
        writeln!(text, "layer {} {digest:.19}… {}", number + 1, describe_weight(*weight))?;
        describe_parts(&mut text, survey, number)?;
    }
    writeln!(text, "largest files")?;
    for (path, size) in survey.largest(LARGEST) {
        writeln!(text, "  {:>12}  {path}", HumanBytes(size).to_string())?;
    }
    Ok(text)
}

fn describe_weight(weight: Weight) -> String {
    let mut text = format!("{} in {} files", HumanBytes(weight.bytes), weight.files);
    if weight.hidden > 0 {
        text += &format!(", {} of them hidden by higher layers", HumanBytes(weight.hidden));
    }
    if weight.repeated > 0 {
        text += &format!(", {} of them in a lower layer too", HumanBytes(weight.repeated));
    }
    text
}

/// The parts of a layer, the largest first.
fn describe_parts(text: &mut String, survey: &Survey, layer: usize) -> Result<(), Failure> {
    let mut parts: Vec<_> = survey.parts(layer).into_iter().collect();
    parts.sort_by_key(|(path, size)| (std::cmp::Reverse(*size), *path));
    for (path, size) in parts {
        writeln!(text, "  {:>12}  {path}", HumanBytes(size).to_string())?;
    }
    Ok(())
}
