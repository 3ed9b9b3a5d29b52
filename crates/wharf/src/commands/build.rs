//! `wharf build`.

use std::path::PathBuf;

use indicatif::HumanBytes;
use project::Derived;
use serde_json::json;

use crate::artifacts::{ArchiveFormat, Artifacts, Built};
use crate::failure::Failure;
use crate::progress;
use crate::settings::{Settings, Verbosity};
use crate::target::{BuildArguments, StatisticsArgument, TargetArguments};

/// Build images and other derivations
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf build ./packages/ollama-container.nix   leaves the archive `result`: docker load -i result
  wharf build .#containers                      every image in the set: result-NAME for each
  wharf build --format oci-layout .#web         a directory for skopeo and the like
  wharf build --store daemon .#web              in /nix/store, through this machine's Nix daemon
  wharf build --builders 'ssh-ng://build@farm x86_64-linux - 8' .#web    on another machine")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name [default: .]
    target: Option<String>,
    /// What the result of an image is
    #[arg(long, value_enum, default_value_t = ArchiveFormat::Auto)]
    format: ArchiveFormat,
    /// The name of the link to the result
    #[arg(short, long, value_name = "NAME", default_value = "result", conflicts_with = "no_link")]
    out_link: PathBuf,
    /// Leave no link; results may be collected as garbage later
    #[arg(long)]
    no_link: bool,
    /// Print what would be built or taken from binary caches, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    statistics: StatisticsArgument,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    arguments.statistics.print(&project);
    if arguments.dry_run {
        return dry_run(&project, &derived, settings);
    }
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let mut rows = Vec::new();
    for (one, path) in derived.iter().zip(&paths) {
        let built = artifacts.all_of(&project, one, path)?;
        let link = match arguments.no_link {
            true => None,
            false => {
                let target = artifacts.result(&built, arguments.format)?;
                let link = link_name(&arguments.out_link, one);
                artifacts.link(&built, &target, &link)?;
                Some(link)
            }
        };
        rows.push(row(one, &built, link.as_ref(), settings));
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "results": rows }));
    }
    Ok(0)
}

fn link_name(base: &std::path::Path, one: &Derived) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    for part in [one.attribute.as_str(), if one.output == "out" { "" } else { one.output.as_str() }] {
        if !part.is_empty() {
            name.push("-");
            name.push(part);
        }
    }
    name.into()
}

/// What is said of one result: as JSON, or in lines on standard output.
fn row(one: &Derived, built: &Built, link: Option<&PathBuf>, settings: &Settings) -> serde_json::Value {
    let mut row = json!({
        "attribute": one.attribute,
        "name": one.name,
        "drvPath": one.derivation.to_absolute(),
        "outPath": built.path.to_absolute(),
        "link": link,
    });
    if let Some(image) = &built.image {
        row["image"] = image.to_json();
    }
    if !built.platforms.is_empty() {
        row["platforms"] = built.platforms.iter().map(|platform| platform.image.to_json()).collect();
    }
    if !settings.json && settings.verbosity >= Verbosity::Quiet {
        match &built.images()[..] {
            [] => println!("{}", built.path.to_absolute()),
            [others @ .., last] => {
                others.iter().for_each(|image| print!("{}", image.describe(None)));
                print!("{}", last.describe(link));
            }
        }
    }
    row
}

fn dry_run(project: &project::Project, derived: &[Derived], settings: &Settings) -> Result<i32, Failure> {
    let outlook = project.outlook(derived)?;
    let build: Vec<String> = outlook.build.iter().map(|path| path.to_absolute()).collect();
    let (download, unpacked) = (outlook.download_size, outlook.nar_size);
    if settings.json {
        let take = outlook.take.iter().map(
            |one| json!({ "path": one.path.to_absolute(), "downloadSize": one.download_size, "narSize": one.nar_size }),
        );
        println!(
            "{}",
            json!({
                "schema": 1,
                "wouldBuild": build,
                "wouldTake": take.collect::<Vec<_>>(),
                "downloadSize": download,
                "narSize": unpacked,
            })
        );
        return Ok(0);
    }
    let take: Vec<String> = outlook.take.iter().map(|one| one.path.to_absolute()).collect();
    if build.is_empty() && take.is_empty() {
        eprintln!("nothing would be built: every result is in the store");
    }
    if !build.is_empty() {
        eprintln!("{} derivations would be built:", build.len());
        build.iter().for_each(|path| println!("{path}"));
    }
    if !take.is_empty() {
        let (download, unpacked) = (HumanBytes(download), HumanBytes(unpacked));
        eprintln!("{} objects would be taken ({download} to download, {unpacked} unpacked):", take.len());
        take.iter().for_each(|path| println!("{path}"));
    }
    Ok(0)
}
