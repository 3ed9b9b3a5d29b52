//! An image that commands look at: built here, a file, or at a registry.

use std::path::Path;

use distribution::{Place, Select};
use image::{Image, Selection};
use store::progress::Silent;
use tempfile::TempDir;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{places, progress, registries};

/// An image, and what must stay as long as it is used.
pub(crate) struct Opened {
    pub(crate) image: Image,
    /// The image for each platform, where a target gives it for several.
    pub(crate) platforms: Vec<Image>,
    _pulled: Option<TempDir>,
}

/// Opens what a user names: a place by its transport, an archive or layout without one, or a target, which is built if need
/// be.
pub(crate) fn open(text: Option<&str>, what: &TargetArguments, settings: &Settings) -> Result<Opened, Failure> {
    let Some(text) = text else { return of_target(what, None, settings) };
    match places::by_transport(text)? {
        Some(Place::DockerArchive { path, name }) => {
            let (name, tag) = match name.as_deref().map(|name| (name, name.rsplit_once(':'))) {
                Some((_, Some((name, tag)))) => (Some(name), Some(tag)),
                // A tag alone is enough where it is the only one.
                Some((tag, None)) => (None, Some(tag)),
                None => (None, None),
            };
            local(&path, Selection { name, tag }, settings)
        }
        Some(Place::Layout { path, name: None } | Place::OciArchive { path, name: None }) => {
            local(&path, Selection::default(), settings)
        }
        Some(place) => copied(&place, settings),
        None if is_file(Path::new(text)) => local(Path::new(text), Selection::default(), settings),
        None => of_target(what, Some(text), settings).map_err(|error| match places::near_transport(text) {
            Some(near) => error.help(format!("did you mean {near}?")),
            None => error,
        }),
    }
}

/// Whether the text names an image at a registry.
pub(crate) fn is_remote(text: &str) -> bool {
    text.starts_with("docker://")
}

fn local(path: &Path, wanted: Selection<'_>, settings: &Settings) -> Result<Opened, Failure> {
    let unpacked = settings.unpacked();
    std::fs::create_dir_all(&unpacked).map_err(|error| Failure::io("create", &unpacked, error))?;
    Ok(Opened { image: Image::open_path(path, &unpacked, wanted)?, platforms: Vec::new(), _pulled: None })
}

/// Anything that is there and is neither an expression nor a directory with one.
fn is_file(path: &Path) -> bool {
    match path.is_dir() {
        true => path.join("oci-layout").is_file() || path.join("image.json").is_file(),
        false => path.is_file() && path.extension().is_none_or(|extension| extension != "nix"),
    }
}

/// Gets an image for this machine's platform into a directory that goes with it.
fn copied(place: &Place, settings: &Settings) -> Result<Opened, Failure> {
    let client = places::client(&[place], settings)?;
    std::fs::create_dir_all(&settings.cache).map_err(|error| Failure::io("create", &settings.cache, error))?;
    let directory =
        tempfile::tempdir_in(&settings.cache).map_err(|error| Failure::io("write", &settings.cache, error))?;
    let layout = directory.path().join("layout");
    let to = Place::Layout { path: layout.clone(), name: name(place) };
    let options = places::options(Select::One(places::platform(None)?), settings.layer_cache(), settings);
    let progress = progress::observer(settings);
    registries::wait(async { Ok(client.copy(place, &to, &options, &*progress).await?) })?;
    let image = Image::open_path(&layout, directory.path(), Selection::default())?;
    Ok(Opened { image, platforms: Vec::new(), _pulled: Some(directory) })
}

/// What an image is called after it was copied.
fn name(place: &Place) -> Option<String> {
    match place {
        Place::Registry(reference) => {
            Some(format!("{}:{}", reference.repository(), reference.tag().unwrap_or("latest")))
        }
        Place::Layout { name, .. } | Place::OciArchive { name, .. } | Place::DockerArchive { name, .. } => name.clone(),
        Place::DockerDaemon { name } | Place::ContainersStorage { name } | Place::Containerd { name, .. } => {
            Some(name.clone())
        }
    }
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
    let platforms = match one.platforms.is_empty() {
        true => Vec::new(),
        false => artifacts.images(&project, one, &paths[0])?,
    };
    Ok(Opened { image: artifacts.image(&one.name, &paths[0])?.image, platforms, _pulled: None })
}
