//! `wharf diff`.

use std::fmt::Write as _;

use image::Compression;
use image::compare::{Comparison, PackageChange, compare};
use indicatif::HumanBytes;
use serde_json::json;

use crate::any_image;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::TargetArguments;

/// Show what is different between two images, and what a push would send
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf diff docker://localhost:5000/web:1.2 ./web.nix   what a push of the new one changes
  wharf diff ./result-before ./result                    two archives")]
pub(crate) struct Arguments {
    /// A target, an archive, an OCI layout, docker://REFERENCE, or another place such as docker-daemon:NAME
    before: String,
    /// The same, for the other image
    after: String,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let before = any_image::open(Some(&arguments.before), &arguments.what, settings)?;
    let after = any_image::open(Some(&arguments.after), &arguments.what, settings)?;
    let difference = compare(&before.image, &after.image, Compression::Gzip, &settings.layer_cache())?;
    match settings.json {
        true => println!("{}", json!({ "schema": 1, "difference": difference })),
        false => print!("{}", describe(&difference)?),
    }
    Ok(0)
}

fn describe(difference: &Comparison) -> Result<String, Failure> {
    let mut text = String::new();
    for package in &difference.packages {
        writeln!(text, "{}", describe_package(package))?;
    }
    for file in &difference.files {
        let mark = match file.change {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let size = match file.change {
            "changed" => format!("{} → {}", HumanBytes(file.before), HumanBytes(file.after)),
            _ => HumanBytes(file.before + file.after).to_string(),
        };
        writeln!(text, "{mark} {}  {size}", file.path)?;
    }
    difference.config.iter().try_for_each(|name| writeln!(text, "~ config.{name}"))?;
    if text.is_empty() {
        text += "no package, file or member of the configuration is different\n";
    }
    let most = if difference.push.at_most { "at most " } else { "" };
    let (count, bytes) = (difference.new_layers.len(), HumanBytes(difference.push.bytes));
    let layers = if count == 1 { "layer" } else { "layers" };
    writeln!(text, "a push sends {most}{bytes} in {count} {layers}")?;
    Ok(text)
}

fn describe_package(package: &PackageChange) -> String {
    let versions = |paths: &[(String, u64)]| {
        let names = paths.iter().map(|(path, _)| path.rsplit('/').next().unwrap_or(path));
        let names = names.map(|base| base.split_once('-').map_or(base, |(_, name)| name));
        let version =
            |name: &str| name.strip_prefix(&package.name).map_or(name, |rest| rest.trim_start_matches('-')).to_owned();
        let versions: Vec<_> =
            names.map(version).map(|v| if v.is_empty() { "(no version)".to_owned() } else { v }).collect();
        versions.join(", ")
    };
    let bytes = |paths: &[(String, u64)]| HumanBytes(paths.iter().map(|(_, size)| size).sum());
    let (before, after, name) = (&package.before[..], &package.after[..], &package.name);
    match (before, after) {
        ([], after) => format!("+ {name} {}  {}", versions(after), bytes(after)),
        (before, []) => format!("- {name} {}  {}", versions(before), bytes(before)),
        (before, after) if versions(before) == versions(after) => {
            format!("~ {name} {}, built anew  {} → {}", versions(after), bytes(before), bytes(after))
        }
        (before, after) => {
            format!("~ {name} {} → {}  {} → {}", versions(before), versions(after), bytes(before), bytes(after))
        }
    }
}
