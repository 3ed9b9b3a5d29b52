//! An image that commands look at: built here, a file, or at a registry.

use std::path::{Path, PathBuf};

use distribution::Platform;
use image::{Image, Selection};
use store::progress::Silent;
use tempfile::TempDir;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{progress, registries};

/// An image, and what must stay as long as it is used.
pub(crate) struct Opened {
    pub(crate) image: Image,
    _pulled: Option<TempDir>,
}

/// The transports of skopeo that name a file.
const FILES: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

/// Opens what a user names: `docker://REFERENCE`, an archive or layout (with skopeo's transport or without), or a target,
/// which is built if need be.
pub(crate) fn open(text: Option<&str>, what: &TargetArguments, settings: &Settings) -> Result<Opened, Failure> {
    match text {
        Some(text) if text.starts_with("docker://") => pulled(text, settings),
        Some(text) if FILES.iter().any(|transport| text.starts_with(transport)) => {
            let rest = text.split_once(':').map_or(text, |(_, rest)| rest);
            let (path, tag) = with_tag(rest);
            local(&path, Selection { name: None, tag: tag.as_deref() }, settings)
        }
        Some(text) if is_file(Path::new(text)) => local(Path::new(text), Selection::default(), settings),
        text => of_target(what, text, settings),
    }
}

/// Whether the text names something else than a target.
pub(crate) fn is_remote(text: &str) -> bool {
    text.starts_with("docker://")
}

/// `PATH`, `PATH:TAG` or `PATH:NAME:TAG`.
fn with_tag(text: &str) -> (PathBuf, Option<String>) {
    match text.split_once(':') {
        Some((path, reference)) if !Path::new(text).exists() => {
            let tag = reference.rsplit(':').next().unwrap_or(reference);
            (path.into(), Some(tag.to_owned()))
        }
        _ => (text.into(), None),
    }
}

fn local(path: &Path, wanted: Selection<'_>, settings: &Settings) -> Result<Opened, Failure> {
    let unpacked = settings.unpacked();
    std::fs::create_dir_all(&unpacked).map_err(|error| Failure::io("create", &unpacked, error))?;
    Ok(Opened { image: Image::open_path(path, &unpacked, wanted)?, _pulled: None })
}

/// Anything that is there and is neither an expression nor a directory with one.
fn is_file(path: &Path) -> bool {
    match path.is_dir() {
        true => path.join("oci-layout").is_file() || path.join("image.json").is_file(),
        false => path.is_file() && path.extension().is_none_or(|extension| extension != "nix"),
    }
}

/// Pulls an image for this machine's platform into a directory that goes with it.
fn pulled(text: &str, settings: &Settings) -> Result<Opened, Failure> {
    let (client, reference) = (registries::client(settings)?, registries::reference(text)?);
    std::fs::create_dir_all(&settings.cache).map_err(|error| Failure::io("create", &settings.cache, error))?;
    let directory =
        tempfile::tempdir_in(&settings.cache).map_err(|error| Failure::io("write", &settings.cache, error))?;
    let architecture = image::media::architecture(std::env::consts::ARCH).to_owned();
    let platform = Platform { architecture, os: "linux".to_owned(), variant: None };
    let layout = directory.path().join("layout");
    let name = Some((reference.repository(), reference.tag().unwrap_or("latest")));
    let progress = progress::observer(settings);
    registries::wait(async { Ok(client.pull(&reference, &platform, &layout, name, &*progress).await?) })?;
    let image = Image::open_path(&layout, directory.path(), Selection::default())?;
    Ok(Opened { image, _pulled: Some(directory) })
}

fn of_target(what: &TargetArguments, text: Option<&str>, settings: &Settings) -> Result<Opened, Failure> {
    let target = what.target(text)?;
    let project = what.open(settings, &BuildArguments::default(), progress::observer(settings), true)?;
    let derived = project.derivations(&target)?;
    let [one] = &derived[..] else {
        let names: Vec<_> = derived.iter().map(|one| one.attribute.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} has {} images, and one can be looked at",
            target.describe(),
            derived.len()
        ))
        .help(format!("name one with --attr: {}", names.join(", "))));
    };
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &Silent);
    Ok(Opened { image: artifacts.image(&one.name, &paths[0])?.image, _pulled: None })
}
