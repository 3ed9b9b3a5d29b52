//! An image as commands show it.

use std::fmt::Write as _;
use std::path::PathBuf;

use image::media::Manifest;
use image::{Compression, Digest, Image, LayerCache};
use indicatif::HumanBytes;
use serde_json::json;

use crate::failure::Failure;

/// An image with what is worth saying of it.
pub(crate) struct ImageSummary {
    pub(crate) image: Image,
    /// The manifest for layers that are not compressed: nothing has to be compressed to know it.
    manifest: Vec<u8>,
    /// The digest under which a push stores it, if its layers were compressed before.
    pushed: Option<Digest>,
    layers: Vec<Row>,
    /// The bytes of all layers before compression, as far as that is known.
    pub(crate) size: u64,
}

struct Row {
    digest: Digest,
    size: u64,
    store_paths: Vec<String>,
}

impl ImageSummary {
    pub(crate) fn of(image: Image, cache: &LayerCache) -> Result<Self, Failure> {
        let manifest = image.manifest(Compression::None, cache)?;
        let parsed: Manifest = serde_json::from_slice(&manifest)?;
        let layers: Vec<Row> = image
            .layers
            .iter()
            .zip(&parsed.layers)
            .map(|(layer, blob)| Row {
                digest: *layer.diff_id(),
                size: blob.size,
                store_paths: layer.objects().iter().map(|path| path.to_absolute()).collect(),
            })
            .collect();
        let size = layers.iter().map(|row| row.size).sum();
        let pushed = image.known_manifest(Compression::Gzip, cache).map(|manifest| Digest::of(&manifest));
        Ok(Self { image, manifest, pushed, layers, size })
    }

    /// The name and tag, or the image's ID.
    pub(crate) fn name(&self) -> String {
        self.image.reference().unwrap_or_else(|| self.image.id().to_string())
    }

    /// What the image is for, as `linux/amd64`.
    fn platform(&self) -> String {
        distribution::shown(&self.image.platform())
    }

    /// What names an archive of this image: its content and its name.
    pub(crate) fn key(&self) -> String {
        let identity = format!("{}\n{:?}\n", self.name(), self.image.archive_compression);
        Digest::of(&[identity.as_bytes(), &self.manifest].concat()).hex()
    }

    /// The image as the JSON output has it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|row| json!({ "diffId": row.digest.to_string(), "size": row.size, "storePaths": row.store_paths }))
            .collect();
        json!({
            "name": self.image.name,
            "tag": self.image.tag,
            "id": self.image.id().to_string(),
            "platform": self.platform(),
            "digest": Digest::of(&self.manifest).to_string(),
            "pushedDigest": self.pushed.map(|digest| digest.to_string()),
            "size": self.size,
            "layers": layers,
            "config": self.image.config,
        })
    }

    /// The image in a few lines.
    pub(crate) fn describe(&self, link: Option<&PathBuf>) -> String {
        let mut text = format!("{}\n", self.name());
        let layers = if self.layers.len() == 1 { "layer" } else { "layers" };
        let digest = Digest::of(&self.manifest);
        let _ = writeln!(text, "  for     {}", self.platform());
        let _ = writeln!(text, "  digest  {digest}");
        // A registry gets compressed layers, and so another manifest.
        if let Some(pushed) = self.pushed.filter(|pushed| *pushed != digest) {
            let _ = writeln!(text, "  pushed  {pushed}");
        }
        let _ = writeln!(text, "  size    {} in {} {layers}", HumanBytes(self.size), self.layers.len());
        for row in &self.layers {
            let content = match &row.store_paths[..] {
                [] => String::new(),
                [one] => short_name(one).to_owned(),
                [first, rest @ ..] => format!("{} and {} more", short_name(first), rest.len()),
            };
            let _ = writeln!(
                text,
                "  layer   {:.19}… {:>12}  {content}",
                row.digest.to_string(),
                HumanBytes(row.size).to_string()
            );
        }
        if let Some(link) = link {
            let _ = writeln!(text, "  result  {}", link.display());
        }
        text
    }
}

/// The name of a store path without directory and hash.
fn short_name(path: &str) -> &str {
    path.rsplit('/').next().and_then(|base| base.split_once('-')).map_or(path, |(_, name)| name)
}
