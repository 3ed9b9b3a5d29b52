//! `wharf lock` and `wharf update`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use distribution::{Client, Platform, Reference};
use project::{Digest, Edit, LOCK_FILE, Pin, Pins, PullSite, apply_edits, find_pull_sites};
use serde_json::json;

use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};
use crate::{progress, registries};

/// Write the digests of base images down, so that they stay what they are
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf lock                  every pullImage below the current directory that has no imageDigest, into wharf.lock
  wharf lock --in-place       the same, into the Nix files

A tag is written down once; `wharf update` moves it. wharf.lock lies beside flake.lock and belongs into the repository.")]
pub(crate) struct Lock {
    #[command(flatten)]
    what: What,
}

/// Move the digests of base images to what their tags stand for now
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf update                     every image in wharf.lock
  wharf update alpine              one image, or one NAME:TAG
  wharf update --in-place          digests that are written in Nix files too, and hashes beside them")]
pub(crate) struct Update {
    /// Only images of this name, with or without a tag
    name: Option<String>,
    #[command(flatten)]
    what: What,
}

#[derive(clap::Args)]
struct What {
    /// Change the Nix files instead of wharf.lock; all else in them stays as it is
    #[arg(long)]
    in_place: bool,
    /// A Nix file, or a directory of them
    #[arg(long = "in", value_name = "PATH", default_value = ".")]
    path: PathBuf,
}

/// What has become of one image.
struct Row {
    key: String,
    place: String,
    before: Option<String>,
    after: String,
}

pub(crate) fn lock(arguments: &Lock, settings: &Settings) -> Result<i32, Failure> {
    let sites = sites(&arguments.what)?;
    let client = registries::client(settings)?;
    let absent: Vec<_> = sites.into_iter().filter(|site| site.digest == Digest::Absent).collect();
    match arguments.what.in_place {
        true => in_place(absent, &client, settings),
        false => in_lock(&arguments.what.path, &absent, &|_, pin| pin.is_none(), &client, settings),
    }
}

pub(crate) fn update(arguments: &Update, settings: &Settings) -> Result<i32, Failure> {
    let wanted = |site: &PullSite| match &arguments.name {
        Some(name) => *name == site.name || *name == site.key(),
        None => true,
    };
    let sites: Vec<_> = sites(&arguments.what)?.into_iter().filter(wanted).collect();
    if let Some(name) = arguments.name.as_ref().filter(|_| sites.is_empty()) {
        return Err(Failure::new(format!("no pullImage below {} is of '{name}'", arguments.what.path.display())));
    }
    let client = registries::client(settings)?;
    let (literal, absent): (Vec<_>, Vec<_>) =
        sites.into_iter().filter(|site| site.digest != Digest::Computed).partition(|s| s.digest != Digest::Absent);
    if arguments.what.in_place {
        return in_place(literal, &client, settings);
    }
    if !literal.is_empty() && settings.verbosity >= Verbosity::Quiet {
        let count = literal.len();
        eprintln!("note: {count} digests are written in Nix files; `wharf update --in-place` moves those");
    }
    in_lock(&arguments.what.path, &absent, &|_, _| true, &client, settings)
}

/// The calls of `pullImage`, those whose digest is computed named.
fn sites(what: &What) -> Result<Vec<PullSite>, Failure> {
    let sites = find_pull_sites(&what.path)?;
    for site in sites.iter().filter(|site| site.digest == Digest::Computed) {
        eprintln!(
            "note: {}:{}: the digest of {} is an expression, and stays",
            site.file.display(),
            site.line,
            site.key()
        );
    }
    Ok(sites)
}

/// Resolves images into the lock file, and takes out those that nothing asks for.
fn in_lock(
    path: &Path,
    sites: &[PullSite],
    wanted: &dyn Fn(&str, Option<&Pin>) -> bool,
    client: &Client,
    settings: &Settings,
) -> Result<i32, Failure> {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let directory = std::path::absolute(directory).map_err(|error| Failure::io("resolve", directory, error))?;
    let file = Pins::find(&directory).unwrap_or_else(|| directory.join(LOCK_FILE));
    let mut pins = Pins::read(&file)?;
    let mut rows = Vec::new();
    for site in sites {
        let key = site.key();
        let known = pins.images.get(&key).cloned();
        if !wanted(&key, known.as_ref()) || rows.iter().any(|row: &Row| row.key == key) {
            continue;
        }
        let pin = resolve(client, site)?;
        rows.push(Row {
            place: file.display().to_string(),
            before: known.map(|pin| pin.digest),
            after: pin.digest.clone(),
            key: key.clone(),
        });
        pins.images.insert(key, pin);
    }
    if !rows.is_empty() {
        pins.write(&file)?;
    }
    report(&rows, settings);
    Ok(0)
}

/// Writes digests into the files, and the hashes of the archives where there are any.
fn in_place(sites: Vec<PullSite>, client: &Client, settings: &Settings) -> Result<i32, Failure> {
    let mut edits: BTreeMap<PathBuf, Vec<Edit>> = BTreeMap::new();
    let mut rows = Vec::new();
    for site in sites {
        let pin = resolve(client, &site)?;
        let before = match &site.digest {
            Digest::Literal(text, _) => Some(text.clone()),
            Digest::Absent | Digest::Computed => None,
        };
        let is_new = before.as_ref() != Some(&pin.digest);
        let hash = (is_new && site.hash.is_some()).then(|| archive_hash(client, &site, &pin, settings)).transpose()?;
        if is_new {
            edits.entry(site.file.clone()).or_default().extend(site.edits(&pin.digest, hash.as_deref()));
        }
        let place = format!("{}:{}", site.file.display(), site.line);
        rows.push(Row { key: site.key(), place, before, after: pin.digest });
    }
    for (file, edits) in edits {
        apply_edits(&file, edits)?;
    }
    report(&rows, settings);
    Ok(0)
}

fn resolve(client: &Client, site: &PullSite) -> Result<Pin, Failure> {
    let reference = tagged(site)?;
    let resolved = registries::wait(async { Ok(client.resolve(&reference).await?) })?;
    Ok(Pin { digest: resolved.descriptor.digest.to_string(), platforms: resolved.platforms() })
}

fn tagged(site: &PullSite) -> Result<Reference, Failure> {
    let reference = registries::reference(&site.name)?;
    reference.with_tag(&site.tag).map_err(|error| Failure::usage(error.to_string()))
}

/// The hash that nixpkgs' `pullImage` takes, of the image pulled now.
fn archive_hash(client: &Client, site: &PullSite, pin: &Pin, settings: &Settings) -> Result<String, Failure> {
    let failed = |error| Failure::io("write", &settings.cache, error);
    std::fs::create_dir_all(&settings.cache).map_err(failed)?;
    let directory = tempfile::tempdir_in(&settings.cache).map_err(failed)?;
    let layout = directory.path().join("layout");
    let digest = pin.digest.parse().map_err(|_| Failure::new("the registry's digest is no digest"))?;
    let reference = tagged(site)?.with_digest(digest);
    let (os, architecture) = site.platform.clone();
    let here = || image::media::architecture(std::env::consts::ARCH).to_owned();
    let platform = Platform {
        os: os.unwrap_or_else(|| "linux".to_owned()),
        architecture: architecture.unwrap_or_else(here),
        variant: None,
    };
    let progress = progress::observer(settings);
    let name = Some((site.name.as_str(), site.tag.as_str()));
    registries::wait(async { Ok(client.pull(&reference, &platform, &layout, name, &*progress).await?) })?;
    distribution::archive_hash(&layout, &site.name, &site.tag)
        .map_err(|error| Failure::new(format!("cannot compute the hash of {}", site.key())).because(error.to_string()))
}

fn report(rows: &[Row], settings: &Settings) {
    if settings.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({ "image": row.key, "place": row.place, "before": row.before, "after": row.after }))
            .collect();
        println!("{}", json!({ "schema": 1, "images": rows }));
        return;
    }
    for row in rows {
        match &row.before {
            Some(before) if *before == row.after => println!("{}  {}  as it was", row.key, row.after),
            Some(before) => println!("{}  {before} → {}", row.key, row.after),
            None => println!("{}  {}", row.key, row.after),
        }
    }
    if rows.is_empty() && settings.verbosity >= Verbosity::Normal {
        eprintln!("nothing to write down");
    }
}
