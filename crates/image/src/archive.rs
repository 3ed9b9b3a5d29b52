//! Writing images: as one tar that docker, podman and skopeo take, or as an OCI layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::cache::LayerCache;
use crate::compress::{Compression, Encoder};
use crate::digest::Digest;
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layout::{IMAGE_NAME, INDEX_FILE, MARK_FILE, REF_NAME, blob_name};
use crate::media::{self, Descriptor, canonical_json};
use crate::platforms;
use crate::tar::{Dialect, Entry, Kind, TarWriter};

/// What an archive can be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Both of the others at once: `docker load`, `podman load`, skopeo's `docker-archive:` and `oci-archive:`.
    Universal,
    /// `manifest.json` and the files that it names, as `docker save` writes.
    Docker,
    /// An OCI layout in a tar.
    Oci,
}

const LAYOUT_VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// How several images are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// Each under its own name.
    Separate,
    /// As one, for several platforms.
    Platforms,
}

/// Writes images as one tar, compressed as `compression` says; layers inside are not, except that an image from
/// outside keeps its own in [`Format::Oci`]. Equal images give equal bytes.
///
/// # Errors
/// A layer cannot be read or has changed, or the errors of `out`.
pub fn write(
    images: &[Image],
    format: Format,
    compression: Compression,
    cache: &LayerCache,
    out: impl Write,
) -> Result<(), ImageError> {
    write_listed(images, Listing::Separate, format, compression, cache, out)
}

/// As [`write`], for one image that is there for several platforms. Docker's own list has the one for this machine.
///
/// # Errors
/// As [`write`].
pub fn write_platforms(
    images: &[Image],
    format: Format,
    compression: Compression,
    cache: &LayerCache,
    out: impl Write,
) -> Result<(), ImageError> {
    match platforms::for_here(images) {
        Some(image) if format == Format::Docker => write(std::slice::from_ref(image), format, compression, cache, out),
        _ => write_listed(images, Listing::Platforms, format, compression, cache, out),
    }
}

fn write_listed(
    images: &[Image],
    listing: Listing,
    format: Format,
    compression: Compression,
    cache: &LayerCache,
    out: impl Write,
) -> Result<(), ImageError> {
    let failed = || io_error("cannot write the archive");
    let encoder = Encoder::new(out, compression).map_err(failed())?;
    let mut archive = Archive { tar: TarWriter::new(encoder, Dialect::Pax), written: BTreeSet::new() };
    archive.directories()?;
    let mut manifests = Vec::new();
    let mut entries = Vec::new();
    for image in images {
        let keeps_manifest = format == Format::Oci && image.manifest_bytes.is_some();
        let layers = archive.layers(image, keeps_manifest, cache)?;
        let manifest =
            if keeps_manifest { image.manifest_of(layers.clone()) } else { image.own_manifest(layers.clone()) };
        archive.blob(image.config_bytes())?;
        if format != Format::Docker {
            archive.blob(&manifest)?;
        }
        if listing == Listing::Separate || platforms::for_here(images).is_some_and(|here| here.id() == image.id()) {
            entries.push(DockerEntry::of(image, &layers));
        }
        manifests.push(manifest);
    }
    if format != Format::Oci {
        archive.file("manifest.json", &canonical_json(&entries))?;
        archive.file("repositories", &canonical_json(&repositories(&entries)))?;
    }
    if format != Format::Docker {
        let (index, inner) = index(images, listing, &manifests);
        inner.iter().try_for_each(|bytes| archive.blob(bytes))?;
        archive.file(INDEX_FILE, &index)?;
        archive.file(MARK_FILE, LAYOUT_VERSION)?;
    }
    archive.tar.finish().and_then(Encoder::finish).map_err(failed())?;
    Ok(())
}

/// Writes images as an OCI layout into `directory`, which is made if it is not there. Blobs that it has are kept;
/// the index is replaced last, so that an interrupted call leaves the layout as it was.
///
/// # Errors
/// A layer cannot be read or has changed, or the file system refuses.
pub fn write_layout(
    images: &[Image],
    compression: Compression,
    cache: &LayerCache,
    directory: &Path,
) -> Result<(), ImageError> {
    write_layout_listed(images, Listing::Separate, compression, cache, directory)
}

/// As [`write_layout`], for one image that is there for several platforms.
///
/// # Errors
/// As [`write_layout`].
pub fn write_layout_platforms(
    images: &[Image],
    compression: Compression,
    cache: &LayerCache,
    directory: &Path,
) -> Result<(), ImageError> {
    write_layout_listed(images, Listing::Platforms, compression, cache, directory)
}

fn write_layout_listed(
    images: &[Image],
    listing: Listing,
    compression: Compression,
    cache: &LayerCache,
    directory: &Path,
) -> Result<(), ImageError> {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io_error(format!("cannot make {}", blobs.display())))?;
    let blob = |bytes: &[u8]| place(&blobs, |out| put(out, bytes), |()| Digest::of(bytes).hex());
    let mut manifests = Vec::new();
    for image in images {
        let layers = image.layers.iter().map(|layer| {
            if let Some(known) = layer.known_blob(compression, cache)
                && blobs.join(known.digest.hex()).exists()
            {
                return Ok(known);
            }
            place(&blobs, |out| layer.write_blob(compression, cache, out), |blob| blob.digest.hex())
        });
        let manifest = image.manifest_of(layers.collect::<Result<_, _>>()?);
        blob(image.config_bytes())?;
        blob(&manifest)?;
        manifests.push(manifest);
    }
    let (index, inner) = index(images, listing, &manifests);
    inner.iter().try_for_each(|bytes| blob(bytes))?;
    place(directory, |out| put(out, LAYOUT_VERSION), |()| MARK_FILE.to_owned())?;
    place(directory, |out| put(out, &index), |()| INDEX_FILE.to_owned())
}

/// Writes a file under a temporary name, and gives it the name that follows from what was written.
fn place<T>(
    directory: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, ImageError>,
    name: impl FnOnce(&T) -> String,
) -> Result<T, ImageError> {
    let failed = || format!("cannot write into {}", directory.display());
    let file = tempfile::Builder::new().permissions(readable()).tempfile_in(directory).map_err(io_error(failed()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let written = write(&mut out)?;
    out.flush().map_err(io_error(failed()))?;
    drop(out);
    file.as_file().sync_all().map_err(io_error(failed()))?;
    file.persist(directory.join(name(&written))).map_err(|error| io_error(failed())(error.error))?;
    Ok(written)
}

fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), ImageError> {
    out.write_all(bytes).map_err(io_error("cannot write an image"))
}

/// The tar that is being written, and the blobs that it has.
struct Archive<W> {
    tar: TarWriter<W>,
    written: BTreeSet<Digest>,
}

impl<W: Write> Archive<W> {
    /// Said explicitly, since skopeo gives directories that are not in the archive to root, which an ordinary user
    /// may not do.
    fn directories(&mut self) -> Result<(), ImageError> {
        for name in ["blobs", "blobs/sha256"] {
            let directory = Entry { kind: Kind::Directory, mode: 0o755, ..entry(name, 0) };
            self.tar.append(&directory).map_err(io_error("cannot write the archive"))?;
        }
        Ok(())
    }

    fn layers(&mut self, image: &Image, as_stored: bool, cache: &LayerCache) -> Result<Vec<Descriptor>, ImageError> {
        let mut descriptors = Vec::new();
        for layer in &image.layers {
            let blob = if as_stored { layer.blob(Compression::None, cache)? } else { layer.tar_blob(cache)? };
            if self.written.insert(blob.digest) {
                let failed = || io_error("cannot write a layer into the archive");
                let name = blob_name(&blob.digest);
                let mut member = self.tar.member(&entry(&name, blob.size)).map_err(failed())?;
                if as_stored {
                    layer.write_blob(Compression::None, cache, &mut member)?;
                } else {
                    layer.write_tar(&mut member)?;
                }
                member.finish().map_err(failed())?;
            }
            descriptors.push(blob);
        }
        Ok(descriptors)
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let digest = Digest::of(bytes);
        if self.written.insert(digest) { self.file(&blob_name(&digest), bytes) } else { Ok(()) }
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let entry = entry(name, bytes.len() as u64);
        self.tar.append_file(&entry, bytes).map_err(io_error(format!("cannot write {name} into the archive")))
    }
}

fn entry(name: &str, size: u64) -> Entry<'_> {
    let (path, kind) = (name.as_bytes(), Kind::File(size));
    Entry { path, kind, mode: 0o444, uid: 0, gid: 0, uname: "", gname: "", mtime: 0 }
}

/// The index of the layout, and for several platforms the one that it leads to.
fn index(images: &[Image], listing: Listing, manifests: &[Vec<u8>]) -> (Vec<u8>, Option<Vec<u8>>) {
    if let (Listing::Platforms, Some(image)) = (listing, images.first()) {
        let inner = platforms::index(images, manifests);
        let entry = named(image, Descriptor::of(media::INDEX, &inner));
        return (platforms::index_of(vec![entry]), Some(inner));
    }
    let entries = images.iter().zip(manifests).map(|(image, manifest)| named(image, platforms::entry(image, manifest)));
    (platforms::index_of(entries.collect()), None)
}

/// The entry of an index with the name of the image.
fn named(image: &Image, mut entry: Descriptor) -> Descriptor {
    entry.annotations.extend(image.reference().map(|reference| (IMAGE_NAME.to_owned(), reference)));
    entry.annotations.extend(image.tag.clone().map(|tag| (REF_NAME.to_owned(), tag)));
    entry
}

/// An entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
    #[serde(skip)]
    top: Option<Digest>,
}

impl DockerEntry {
    fn of(image: &Image, layers: &[Descriptor]) -> Self {
        Self {
            config: blob_name(&image.id()),
            repo_tags: image.reference().into_iter().collect(),
            layers: layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
            top: layers.last().map(|layer| layer.digest),
        }
    }
}

/// What docker before 1.10 read, and some programs still look at: name → tag → the top layer.
fn repositories(entries: &[DockerEntry]) -> BTreeMap<&str, BTreeMap<&str, String>> {
    let mut repositories: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for entry in entries {
        let named = entry.repo_tags.iter().filter_map(|reference| reference.rsplit_once(':'));
        for ((name, tag), top) in named.zip(entry.top) {
            repositories.entry(name).or_default().insert(tag, top.hex());
        }
    }
    repositories
}
