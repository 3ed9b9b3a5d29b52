//! What a build leaves for the user: archives of images, links to results, and what keeps both from being collected.
//!
//! An archive is written once and kept in `DATA/archives` under a name that follows from its content, so that a second
//! build finds it. A user's link leads to it, while the store object behind it is kept by a root of its own in
//! `DATA/results`: a link `KEY` to the object (`KEY.0` and so on to those for other platforms), and beside it `KEY.of` with the user's link. When that is gone or leads
//! elsewhere, collecting garbage removes both and the archive.

use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use image::{Compression, Digest, Image, ImageError, LayerCache, archive, streamed_image};
use nix_formats::store_path::StorePath;
use project::{Derived, Project};
use store::Store;
use store::progress::{Activity, Outcome, Progress, Task};

use crate::failure::Failure;
use crate::image_summary::ImageSummary;
use crate::settings::Settings;

/// What the result of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ArchiveFormat {
    /// An archive; for streamLayeredImage a script that writes it to standard output
    Auto,
    /// One archive for docker load, podman load, and skopeo's docker-archive: and oci-archive:
    #[value(name = "archive")]
    Universal,
    /// What `docker save` writes
    DockerArchive,
    /// An OCI layout in a tar
    OciArchive,
    /// An OCI layout: a directory
    OciLayout,
}

/// A result: a store object, and the image that it is, if it is one.
pub(crate) struct Built {
    pub(crate) path: StorePath,
    pub(crate) real_path: PathBuf,
    pub(crate) image: Option<ImageSummary>,
    /// The same image for each platform, where it is wanted for several; [`Built::image`] is one of them.
    pub(crate) platforms: Vec<Platform>,
}

/// An image for one of several platforms.
pub(crate) struct Platform {
    pub(crate) path: StorePath,
    pub(crate) image: ImageSummary,
}

impl Built {
    /// The image for each platform, or the only one.
    pub(crate) fn images(&self) -> Vec<&ImageSummary> {
        match self.platforms.is_empty() {
            true => self.image.iter().collect(),
            false => self.platforms.iter().map(|platform| &platform.image).collect(),
        }
    }
}

/// Where archives, links and roots are.
pub(crate) struct Artifacts<'a> {
    store: &'a dyn Store,
    archives: PathBuf,
    results: PathBuf,
    scratch: PathBuf,
    pub(crate) layers: LayerCache,
    progress: &'a dyn Progress,
}

impl<'a> Artifacts<'a> {
    pub(crate) fn new(store: &'a dyn Store, settings: &Settings, progress: &'a dyn Progress) -> Self {
        Self {
            store,
            archives: settings.data.join("archives"),
            results: settings.data.join("results"),
            scratch: settings.unpacked(),
            layers: settings.layer_cache(),
            progress,
        }
    }

    /// Looks at a store object.
    pub(crate) fn of(&self, path: &StorePath) -> Result<Built, Failure> {
        let real_path = self.store.real_path(path);
        let image = match Image::open(self.store, path, &self.scratch) {
            Ok(image) => Some(ImageSummary::of(image, &self.layers)?),
            // Anything else that was built is no image, and that is fine.
            Err(ImageError::Unusable { .. }) if !real_path.join("image.json").exists() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Built { path: path.clone(), real_path, image, platforms: Vec::new() })
    }

    /// Builds what a derivation gives for other platforms, and looks at all of it. `path` is its own output.
    pub(crate) fn all_of(&self, project: &Project, one: &Derived, path: &StorePath) -> Result<Built, Failure> {
        let paths = project.realise(&one.platforms)?;
        let platforms = paths.into_iter().map(|path| {
            let image = self.image(&one.name, &path)?;
            Ok(Platform { path, image })
        });
        Ok(Built { platforms: platforms.collect::<Result<_, Failure>>()?, ..self.of(path)? })
    }

    /// The images of a derivation: one, or one for each platform.
    pub(crate) fn images(&self, project: &Project, one: &Derived, path: &StorePath) -> Result<Vec<Image>, Failure> {
        if one.platforms.is_empty() {
            return Ok(vec![self.image(&one.name, path)?.image]);
        }
        Ok(self.all_of(project, one, path)?.platforms.into_iter().map(|platform| platform.image.image).collect())
    }

    /// The image that a store object is.
    pub(crate) fn image(&self, name: &str, path: &StorePath) -> Result<ImageSummary, Failure> {
        self.of(path)?.image.ok_or_else(|| {
            Failure::new(format!("'{name}' is no image"))
                .help("dockerTools.buildImage and its kin make images; `wharf build` builds anything else")
        })
    }

    /// What the user's link leads to: the object itself, or the archive of an image, written if it is not there.
    pub(crate) fn result(&self, built: &Built, format: ArchiveFormat) -> Result<PathBuf, Failure> {
        let Some(summary) = &built.image else { return Ok(built.real_path.clone()) };
        let streams = format == ArchiveFormat::Auto && built.platforms.is_empty();
        if let Some(image) = streamed_image(&built.real_path).ok().flatten().filter(|_| streams) {
            return self.stream_script(summary, &image);
        }
        let (suffix, archive_format) = match format {
            ArchiveFormat::Auto | ArchiveFormat::Universal => ("tar", Some(archive::Format::Universal)),
            ArchiveFormat::DockerArchive => ("docker.tar", Some(archive::Format::Docker)),
            ArchiveFormat::OciArchive => ("oci.tar", Some(archive::Format::Oci)),
            ArchiveFormat::OciLayout => ("oci", None),
        };
        let images = built.images();
        let key = match &images[..] {
            [one] => one.key(),
            several => Digest::of(several.iter().map(|one| one.key()).collect::<String>().as_bytes()).hex(),
        };
        let place = self.archives.join(format!("{key}.{suffix}"));
        if place.exists() {
            return Ok(place);
        }
        fs::create_dir_all(&self.archives).map_err(|error| Failure::io("create", &self.archives, error))?;
        let name = format!("{} as an archive", summary.name());
        let size = images.iter().map(|image| image.size).sum();
        let task = Task::start(self.progress, Activity::Pack, &name, Some(size));
        let images: Vec<Image> = images.into_iter().map(|summary| summary.image.clone()).collect();
        match archive_format {
            Some(format) => self.write_archive(&images, format, &place, &task)?,
            None => self.write_layout(&images, &place)?,
        }
        task.finish(Outcome::Done);
        Ok(place)
    }

    /// A script that streams an image, as the one in the store does, but runs where no `/nix/store` is.
    fn stream_script(&self, summary: &ImageSummary, image: &StorePath) -> Result<PathBuf, Failure> {
        let wharf = std::env::current_exe().map_err(|error| Failure::io("find", Path::new("wharf"), error))?;
        let objects = self.store.real_path(image).parent().map(Path::to_owned).unwrap_or_default();
        let [wharf, objects] = [&wharf, &objects].map(|path| shell_quoted(&path.display().to_string()));
        let (name, image) = (summary.name(), image.to_absolute());
        let text = format!(
            "#!/bin/sh\n# Writes the archive of {name} to standard output, as for `docker load`.\n\
             exec {wharf} layer stream --objects {objects} {image} \"$@\"\n"
        );
        let place = self.archives.join(format!("{}.stream", Digest::of(text.as_bytes()).hex()));
        if place.exists() {
            return Ok(place);
        }
        let failed = |error| Failure::io("write", &place, error);
        fs::create_dir_all(&self.archives).map_err(|error| Failure::io("create", &self.archives, error))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.archives).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        publish(file, &place, 0o755).map_err(failed)?;
        Ok(place)
    }

    fn write_archive(
        &self,
        images: &[Image],
        format: archive::Format,
        place: &Path,
        task: &Task<'_>,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::io("write", place, error);
        let mut file = tempfile::NamedTempFile::new_in(&self.archives).map_err(failed)?;
        let mut out = Counted { out: BufWriter::with_capacity(1 << 20, file.as_file_mut()), task };
        let compression = images.first().map_or(Compression::None, |image| image.archive_compression);
        match images {
            [_] => archive::write(images, format, compression, &self.layers, &mut out)?,
            _ => archive::write_platforms(images, format, compression, &self.layers, &mut out)?,
        }
        out.flush().map_err(failed)?;
        drop(out);
        publish(file, place, 0o644).map_err(failed)
    }

    fn write_layout(&self, images: &[Image], place: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::io("write", place, error);
        let directory = tempfile::tempdir_in(&self.archives).map_err(failed)?;
        let layout = directory.path().join("layout");
        match images {
            [_] => archive::write_layout(images, Compression::Gzip, &self.layers, &layout)?,
            _ => archive::write_layout_platforms(images, Compression::Gzip, &self.layers, &layout)?,
        }
        match fs::rename(&layout, place) {
            // Somebody else has made the same one meanwhile.
            Err(_) if place.exists() => Ok(()),
            other => other.map_err(failed),
        }
    }

    /// Makes the user's link to a result, and keeps the object as long as the link leads there.
    pub(crate) fn link(&self, built: &Built, target: &Path, link: &Path) -> Result<(), Failure> {
        let link = std::path::absolute(link).map_err(|error| Failure::io("resolve", link, error))?;
        if built.image.is_none() {
            // What an image has left there is no link to a store object.
            if fs::read_link(&link).is_ok_and(|target| target.starts_with(&self.archives)) {
                fs::remove_file(&link).map_err(|error| Failure::io("replace", &link, error))?;
            }
            return Ok(self.store.add_root(&link, &built.path)?);
        }
        let failed = |error| Failure::io("make the link", &link, error);
        if link.symlink_metadata().is_ok_and(|metadata| !metadata.is_symlink()) {
            return Err(Failure::new(format!("{} is in the way: it is no link", link.display()))
                .help("move it away, or choose another name with --out-link"));
        }
        fs::create_dir_all(&self.results).map_err(|error| Failure::io("create", &self.results, error))?;
        let root = self.results.join(Digest::of(link.as_os_str().as_encoded_bytes()).hex());
        self.store.add_root(&root, &built.path)?;
        for (number, platform) in built.platforms.iter().enumerate() {
            self.store.add_root(&root.with_extension(number.to_string()), &platform.path)?;
        }
        fs::write(root.with_extension("of"), link.as_os_str().as_encoded_bytes()).map_err(failed)?;
        replace_link(target, &link).map_err(failed)
    }
}

/// Gives a file that was written whole its name, readable by all as any file one makes.
fn publish(file: tempfile::NamedTempFile, place: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(place)?;
    Ok(())
}

/// A word that a shell takes as it is.
fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Makes a link, in place of another link of that name, which nobody sees missing meanwhile.
fn replace_link(target: &Path, link: &Path) -> std::io::Result<()> {
    let parent = link.parent().unwrap_or(Path::new("/"));
    let directory = tempfile::Builder::new().prefix(".wharf-").tempdir_in(parent)?;
    let temporary = directory.path().join("link");
    symlink(target, &temporary)?;
    fs::rename(temporary, link)
}

/// Tells a task how much was written.
struct Counted<'a, W> {
    out: W,
    task: &'a Task<'a>,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.task.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Removes the roots of results whose link is gone or leads elsewhere, and archives that no link leads to; the bytes
/// that were freed. With `dry_run` it only counts.
pub(crate) fn collect(settings: &Settings, dry_run: bool) -> Result<u64, Failure> {
    let (archives, results) = (settings.data.join("archives"), settings.data.join("results"));
    let mut used = Vec::new();
    for note in entries(&results)?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "of")) {
        let link = fs::read(&note).map_err(|error| Failure::io("read", &note, error))?;
        let link = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(link));
        match fs::read_link(&link) {
            Ok(target) if target.starts_with(&archives) => used.push(target),
            _ if dry_run => {}
            _ => {
                // Those of an image for several platforms are numbered.
                let roots = (0..).map(|number| note.with_extension(number.to_string()));
                let roots = roots.take_while(|root| root.symlink_metadata().is_ok());
                for root in std::iter::once(note.with_extension("")).chain(roots) {
                    fs::remove_file(&root).map_err(|error| Failure::io("remove", &root, error))?;
                }
                fs::remove_file(&note).map_err(|error| Failure::io("remove", &note, error))?;
            }
        }
    }
    let mut freed = 0;
    for archive in entries(&archives)?.into_iter().filter(|path| !used.contains(path)) {
        freed += size(&archive);
        if !dry_run {
            let removed = if archive.is_dir() { fs::remove_dir_all(&archive) } else { fs::remove_file(&archive) };
            removed.map_err(|error| Failure::io("remove", &archive, error))?;
        }
    }
    Ok(freed)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::io("list", directory, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::io("list", directory, error)),
    }
}

/// The size of a file, or of what is below a directory; what cannot be looked at counts as nothing.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => entries(path).unwrap_or_default().iter().map(|path| size(path)).sum(),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}
