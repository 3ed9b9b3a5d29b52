//! The base images of `wharf lock` and `wharf update`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use distribution::{Client, Platform, Reference};
use project::{Digest, Edit, LOCK_FILE, Pin, Pins, PullSite, apply_edits, find_pull_sites};
use serde_json::json;

use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};
use crate::{progress, registries};

/// Where images are looked for, and where their digests go.
#[derive(clap::Args)]
pub(crate) struct What {
    /// Change the digests of images in the Nix files instead of wharf.lock; all else in them stays as it is
    #[arg(long)]
    pub(crate) in_place: bool,
    /// A directory with the flake and the Nix files, or one Nix file
    #[arg(long = "in", value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,
}

/// What has become of one image.
pub(crate) struct Row {
    pub(crate) key: String,
    place: String,
    before: Option<String>,
    after: String,
}

impl Row {
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({ "image": self.key, "place": self.place, "before": self.before, "after": self.after })
    }

    pub(crate) fn print(&self) {
        match &self.before {
            Some(before) if *before == self.after => println!("{}  {}  as it was", self.key, self.after),
            Some(before) => println!("{}  {before} → {}", self.key, self.after),
            None => println!("{}  {}", self.key, self.after),
        }
    }
}

/// Writes down the digests of images that have none yet.
pub(crate) fn lock(what: &What, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let sites = sites(what)?;
    let client = registries::client(settings)?;
    let absent: Vec<_> = sites.into_iter().filter(|site| site.digest == Digest::Absent).collect();
    match what.in_place {
        true => in_place(absent, &client, settings),
        false => in_lock(&what.path, &absent, &|_, pin| pin.is_none(), &client),
    }
}

/// The images that a name means, with or without its tag.
pub(crate) fn named(what: &What, name: &str) -> Result<bool, Failure> {
    Ok(find_pull_sites(&what.path)?.iter().any(|site| is_named(site, name)))
}

fn is_named(site: &PullSite, name: &str) -> bool {
    *name == site.name || *name == site.key()
}

/// Moves the digests of the images of these names, or of all if there are none.
pub(crate) fn update(what: &What, names: &[String], settings: &Settings) -> Result<Vec<Row>, Failure> {
    let wanted = |site: &PullSite| names.is_empty() || names.iter().any(|name| is_named(site, name));
    let sites: Vec<_> = sites(what)?.into_iter().filter(wanted).collect();
    let client = registries::client(settings)?;
    let (literal, absent): (Vec<_>, Vec<_>) =
        sites.into_iter().filter(|site| site.digest != Digest::Computed).partition(|s| s.digest != Digest::Absent);
    if what.in_place {
        return in_place(literal, &client, settings);
    }
    if !literal.is_empty() && settings.verbosity >= Verbosity::Quiet {
        let count = literal.len();
        eprintln!("note: {count} digests are written in Nix files; `wharf update --in-place` moves those");
    }
    in_lock(&what.path, &absent, &|_, _| true, &client)
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
) -> Result<Vec<Row>, Failure> {
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
    Ok(rows)
}

/// Writes digests into the files, and the hashes of the archives where there are any.
fn in_place(sites: Vec<PullSite>, client: &Client, settings: &Settings) -> Result<Vec<Row>, Failure> {
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
    Ok(rows)
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
