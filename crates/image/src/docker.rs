//! Reading what `docker save` and nixpkgs' scripts write: `manifest.json` and the files that it names.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Deserialize;

use crate::compress::Compression;
use crate::config::ImageConfig;
use crate::digest::{Digest, Hashing};
use crate::error::{ImageError, io_error};
use crate::files::{Files, Location};
use crate::image::Image;
use crate::layer::{Layer, Source};
use crate::layout::split_reference;
use crate::media::Descriptor;

/// The file that lists the images of an archive.
pub(crate) const MANIFEST: &str = "manifest.json";

/// One image of an archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Which image of several is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The repository's name.
    pub name: Option<&'a str>,
    /// The tag.
    pub tag: Option<&'a str>,
}

/// How the image of an archive is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// There must be no other.
    Only,
    /// The first that has the name and tag.
    First(Selection<'a>),
}

/// The image of the archive that is wanted.
pub(crate) fn open(files: &Files, wanted: Wanted<'_>) -> Result<Image, ImageError> {
    let entries: Vec<Entry> = files.parse(MANIFEST, &files.read(MANIFEST)?)?;
    let wanted = match wanted {
        Wanted::Only if entries.len() > 1 => return Err(files.unusable("it holds several images; name one of them")),
        Wanted::Only => Selection::default(),
        Wanted::First(selection) => selection,
    };
    let found = entries.iter().find_map(|entry| Some((entry, wanted.choose(entry)?)));
    let (entry, (name, tag)) = found.ok_or_else(|| {
        let tags: Vec<_> = entries.iter().flat_map(|entry| entry.repo_tags.iter().flatten()).cloned().collect();
        files.unusable(&format!("it has no image {wanted}; it has: {}", tags.join(", ")))
    })?;
    image(files, entry, name, tag)
}

type Reference = (Option<String>, Option<String>);

impl Selection<'_> {
    fn choose(&self, entry: &Entry) -> Option<Reference> {
        let tags = entry.repo_tags.as_deref().unwrap_or_default();
        let fits = |(name, tag): &Reference| {
            self.name.is_none_or(|wanted| name.as_deref() == Some(wanted))
                && self.tag.is_none_or(|wanted| tag.as_deref() == Some(wanted))
        };
        match tags.iter().map(|reference| split_reference(reference)).find(fits) {
            None if self.name.is_none() && self.tag.is_none() => Some((None, None)),
            found => found,
        }
    }
}

impl std::fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}:{}`", self.name.unwrap_or("*"), self.tag.unwrap_or("*"))
    }
}

fn image(files: &Files, entry: &Entry, name: Option<String>, tag: Option<String>) -> Result<Image, ImageError> {
    let config_bytes = files.read(&entry.config)?;
    let config: ImageConfig = files.parse(&entry.config, &config_bytes)?;
    if entry.layers.len() != config.rootfs.diff_ids.len() {
        return Err(files.unusable("its manifest and its configuration differ in the number of layers"));
    }
    let layers = entry.layers.iter().zip(&config.rootfs.diff_ids);
    let layers = layers.map(|(name, diff_id)| layer(files.locate(name)?, *diff_id)).collect::<Result<_, _>>()?;
    Ok(Image {
        name,
        tag,
        config,
        layers,
        annotations: BTreeMap::new(),
        archive_compression: Compression::None,
        nix_snapshotter: false,
        config_bytes,
        manifest_bytes: None,
    })
}

fn layer(location: Location, diff_id: Digest) -> Result<Layer, ImageError> {
    let failed = || format!("cannot read a layer of {}", location.path.display());
    let mut start = Vec::new();
    let head = location.open().and_then(|file| file.take(4).read_to_end(&mut start));
    head.map_err(io_error(failed()))?;
    let compression = Compression::detect(&start);
    let digest = match compression {
        Compression::None => diff_id,
        // The archive does not say the digest of a compressed layer.
        Compression::Gzip | Compression::Zstd | Compression::ZstdChunked => {
            let mut out = Hashing::new(io::sink());
            location.open().and_then(|mut file| io::copy(&mut file, &mut out)).map_err(io_error(failed()))?;
            out.finish().0
        }
    };
    let descriptor = Descriptor::new(compression.media_type(), digest, location.size);
    let Location { path, offset, .. } = location;
    Ok(Layer { diff_id, source: Source::File { path, offset, descriptor, compression } })
}
