//! `wharf why`.

use image::why::{Step, Why};
use serde_json::json;

use crate::any_image;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::TargetArguments;

/// Show what brings something into an image
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf why ./web.nix openssl            by a part of a package's name
  wharf why ./result /bin/sh             a path in the image
  wharf why docker://web:1.2 openssl     an image at a registry

The chain is the shortest from the image's configuration or root; each line names the file that has the reference.")]
pub(crate) struct Arguments {
    /// A target, an archive, an OCI layout, docker://REFERENCE, or another place such as docker-daemon:NAME
    image: String,
    /// A path in the image, or a part of the name of a package in it
    path: String,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let opened = any_image::open(Some(&arguments.image), &arguments.what, settings)?;
    let why = Why::of(&opened.image)?;
    let found = why.find(&arguments.path);
    if found.is_empty() {
        return Err(Failure::new(format!("the image has no '{}'", arguments.path))
            .help(format!("`wharf inspect {}` lists what it has", arguments.image)));
    }
    let chains: Vec<_> = found.iter().map(|path| (path, why.chain(path), why.layer(path))).collect();
    if settings.json {
        let rows: Vec<_> =
            chains.iter().map(|(path, chain, layer)| json!({ "path": path, "layer": layer, "chain": chain })).collect();
        println!("{}", json!({ "schema": 1, "found": rows }));
        return Ok(0);
    }
    for (path, chain, layer) in &chains {
        print!("{}", describe(path, chain, *layer));
    }
    Ok(0)
}

fn describe(path: &str, chain: &[Step], layer: Option<usize>) -> String {
    let layer = layer.map(|layer| format!("  (layer {layer})")).unwrap_or_default();
    if chain.is_empty() {
        let reason = if path.starts_with("/nix/store/") {
            "nothing in the image refers to it"
        } else {
            "it is at the image's root"
        };
        return format!("{path}{layer}\n  {reason}\n");
    }
    let mut text = String::new();
    for (depth, step) in chain.iter().enumerate() {
        let inside = step.file.strip_prefix(&step.from).filter(|rest| !rest.is_empty());
        let place = inside.map(|rest| format!("  in {}", rest.trim_start_matches('/'))).unwrap_or_default();
        text += &format!("{}{}{place}\n", "  ".repeat(depth), step.from);
    }
    text + &format!("{}{path}{layer}\n", "  ".repeat(chain.len()))
}
