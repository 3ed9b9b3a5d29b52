//! `wharf render`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use deploy::{Definition, Images, RenderOptions, Rendering, ResolvedImage};
use image::{Compression, Digest, Image};
use project::{ContainerImage, Derived, Project};
use serde_json::json;
use store::progress::Progress;

use crate::artifacts::Artifacts;
use crate::failure::Failure;
use crate::progress;
use crate::settings::{Settings, Verbosity};
use crate::target::{BuildArguments, TargetArguments};

/// Write the manifests of `containers.<name>` for a target, images by digest
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf render ./containers.nix --target kubernetes --registry registry.example.org/team
  wharf render .#web --target compose > compose.yaml
  wharf render ./containers.nix --target quadlet --output /etc/containers/systemd

Images that the definition builds are named by --registry and the digest that `wharf push` gives them.")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name, that is a module
    target: Option<String>,
    /// Where the containers are to run
    #[arg(long = "target", value_name = "TARGET", value_parser = platform())]
    platform: String,
    /// The registry, and the path in it, that the images are pushed to
    #[arg(long, value_name = "HOST[/PATH]")]
    registry: Option<String>,
    /// Kubernetes: the namespace, which is then rendered too
    #[arg(long)]
    namespace: Option<String>,
    /// Write the files into this directory, not to standard output
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

fn platform() -> clap::builder::PossibleValuesParser {
    deploy::Target::ALL.map(deploy::Target::as_str).into()
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let platform: deploy::Target = arguments.platform.parse()?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, Arc::clone(&progress), true)?;
    let deployment = project.deployment(&target)?;
    deployment.warnings.iter().for_each(|warning| progress.warn(warning));
    let definition = Definition::from_json(&deployment.json)?;
    let resolver =
        Resolver { project: &project, settings, progress: &*progress, registry: arguments.registry.as_deref() };
    let images = resolver.resolve(&deployment.images)?;
    let options = RenderOptions { namespace: arguments.namespace.clone() };
    let rendering = deploy::render(&definition, &images, platform, &options)?;
    if settings.verbosity >= Verbosity::Quiet {
        rendering.warnings.iter().for_each(|warning| progress.warn(&warning.to_string()));
    }
    match &arguments.output {
        Some(directory) => write(&rendering, directory, settings)?,
        None => print(&rendering, settings),
    }
    Ok(0)
}

/// Finds out what digest each container's image has, building those that the definition makes.
struct Resolver<'a> {
    project: &'a Project,
    settings: &'a Settings,
    progress: &'a dyn Progress,
    registry: Option<&'a str>,
}

impl Resolver<'_> {
    fn resolve(&self, images: &BTreeMap<String, ContainerImage>) -> Result<Images, Failure> {
        let derived: Vec<Derived> = images
            .values()
            .filter_map(|image| match image {
                ContainerImage::Derived(derived) => Some(Derived::clone(derived)),
                ContainerImage::Reference(_) => None,
            })
            .collect();
        // All at once, so that builds run side by side.
        let mut paths = self.project.realise(&derived)?.into_iter();
        let artifacts = Artifacts::new(&**self.project.store()?, self.settings, self.progress);
        let mut resolved = Images::new();
        for (container, image) in images {
            let found = match (image, image_path(image, &mut paths)) {
                (_, Some(path)) => self.built(&artifacts.image(container, &path)?.image, &artifacts)?,
                (ContainerImage::Reference(reference), None) => by_reference(container, reference)?,
                (ContainerImage::Derived(_), None) => {
                    return Err(Failure::new(format!("the image of containers.{container} was not built")));
                }
            };
            resolved.insert(container.clone(), found);
        }
        Ok(resolved)
    }

    /// The digest is that of the manifest which a push sends: with compressed layers.
    fn built(&self, image: &Image, artifacts: &Artifacts) -> Result<ResolvedImage, Failure> {
        let manifest = image.manifest(Compression::Gzip, &artifacts.layers)?;
        let name = image.name.as_deref().unwrap_or("image");
        let repository = match self.registry {
            Some(registry) => format!("{}/{name}", registry.trim_end_matches('/')),
            None => name.to_owned(),
        };
        if !repository.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost") {
            self.progress.warn(&format!(
                "the image '{repository}' has no registry in its name, so it would be pulled from docker.io; give one with --registry"
            ));
        }
        Ok(ResolvedImage { repository, tag: image.tag.clone(), digest: Digest::of(&manifest).to_string() })
    }
}

fn image_path(
    image: &ContainerImage,
    paths: &mut impl Iterator<Item = nix_formats::store_path::StorePath>,
) -> Option<nix_formats::store_path::StorePath> {
    match image {
        ContainerImage::Derived(_) => paths.next(),
        ContainerImage::Reference(_) => None,
    }
}

/// An image that was made elsewhere: its digest has to be in its reference, or what runs would change unseen.
fn by_reference(container: &str, reference: &str) -> Result<ResolvedImage, Failure> {
    let Some((name, digest)) = reference.split_once('@') else {
        return Err(Failure::new(format!("containers.{container}.image is \"{reference}\", which pins no digest"))
            .because("a tag can be moved, and then another image would run")
            .help(format!("write \"{reference}@sha256:…\"; `wharf inspect docker://{reference}` shows the digest")));
    };
    // A colon after the last slash begins a tag; one before it, a port.
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
        _ => (name, None),
    };
    Ok(ResolvedImage { repository: repository.to_owned(), tag, digest: digest.to_owned() })
}

fn print(rendering: &Rendering, settings: &Settings) {
    if settings.json {
        println!("{}", as_json(rendering));
        return;
    }
    let named = rendering.files.len() > 1;
    for file in &rendering.files {
        if named {
            println!("# {}", file.path.display());
        }
        print!("{}", file.contents);
    }
}

fn write(rendering: &Rendering, directory: &Path, settings: &Settings) -> Result<(), Failure> {
    for file in &rendering.files {
        let path = directory.join(&file.path);
        replace(&path, &file.contents).map_err(|error| Failure::io("write", &path, error))?;
        if !settings.json {
            println!("{}", path.display());
        }
    }
    if settings.json {
        println!("{}", as_json(rendering));
    }
    Ok(())
}

/// Writes under a temporary name first, so that nobody reads half a manifest.
fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new().permissions(readable_by_all()).tempfile_in(parent)?;
    io::Write::write_all(&mut file, contents.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn readable_by_all() -> fs::Permissions {
    <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644)
}

fn as_json(rendering: &Rendering) -> serde_json::Value {
    let files: Vec<_> =
        rendering.files.iter().map(|file| json!({ "path": file.path, "contents": file.contents })).collect();
    let warnings: Vec<_> = rendering
        .warnings
        .iter()
        .map(|warning| json!({ "container": warning.container, "option": warning.option, "message": warning.message }))
        .collect();
    json!({ "schema": 1, "files": files, "warnings": warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_split_at_its_tag_and_not_at_its_port() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let image = by_reference("web", &format!("localhost:5000/team/web:1.2@{digest}")).expect("a pinned image");
        assert_eq!(image.repository, "localhost:5000/team/web");
        assert_eq!(image.tag.as_deref(), Some("1.2"));
        let untagged = by_reference("web", &format!("localhost:5000/web@{digest}")).expect("a pinned image");
        assert_eq!((untagged.repository.as_str(), untagged.tag), ("localhost:5000/web", None));
        assert!(by_reference("web", "alpine:3").is_err());
    }
}
