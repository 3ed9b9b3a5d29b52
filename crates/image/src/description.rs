//! The file that stands for an image in the store: `image.json` in the output of `builtin:oci-image`.
//!
//! It names every store object of the image, so that the store sees them as references and keeps them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::compress::Compression;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::image::Image;
use crate::layer::{Layer, Source};
use crate::media::{Descriptor, canonical_json};
use crate::objects::Objects;
use crate::pack::Pack;

/// The name of the file.
pub const FILE_NAME: &str = "image.json";
/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// An image as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Description {
    wharf_image: u32,
    name: Option<String>,
    tag: Option<String>,
    config: ImageConfig,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    archive_compression: Compression,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    nix_snapshotter: bool,
    layers: Vec<LayerDescription>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LayerDescription {
    diff_id: Digest,
    content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Content {
    /// Store objects, and the size of the tar stream they give.
    Packed { size: u64, pack: Box<Pack> },
    /// A part of a file in the store.
    Blob { file: PathBuf, offset: u64, descriptor: Descriptor, compression: Compression },
}

impl Description {
    /// Writes an image down. Layers that are files must be in the store.
    ///
    /// # Errors
    /// A layer's file is not in the store.
    pub(crate) fn of(image: &Image, objects: &Objects) -> Result<Self, ImageError> {
        let layers = image.layers.iter().map(|layer| LayerDescription::of(layer, objects));
        Ok(Self {
            wharf_image: FORMAT,
            name: image.name.clone(),
            tag: image.tag.clone(),
            config: image.config.clone(),
            annotations: image.annotations.clone(),
            archive_compression: image.archive_compression,
            nix_snapshotter: image.nix_snapshotter,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// Reads an image that was written down in `file`.
    ///
    /// # Errors
    /// It is of another format, or does not fit itself.
    pub(crate) fn parse(bytes: &[u8], file: &Path, objects: &Objects) -> Result<Image, ImageError> {
        let unusable = |reason: String| ImageError::Unusable { path: file.to_owned(), reason };
        let description: Self = serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
        if description.wharf_image != FORMAT {
            let found = description.wharf_image;
            return Err(unusable(format!("its format is {found}, and this version of Wharf reads format {FORMAT}")));
        }
        let layers: Vec<_> =
            description.layers.into_iter().map(|layer| layer.open(objects)).collect::<Result<_, _>>()?;
        if !layers.iter().map(Layer::diff_id).eq(&description.config.rootfs.diff_ids) {
            return Err(unusable("its layers are not those of its configuration".to_owned()));
        }
        Ok(Image {
            name: description.name,
            tag: description.tag,
            config_bytes: canonical_json(&description.config),
            config: description.config,
            layers,
            annotations: description.annotations,
            archive_compression: description.archive_compression,
            nix_snapshotter: description.nix_snapshotter,
            manifest_bytes: None,
        })
    }
}

impl LayerDescription {
    fn of(layer: &Layer, objects: &Objects) -> Result<Self, ImageError> {
        let content = match &layer.source {
            Source::Pack { pack, size, .. } => Content::Packed { size: *size, pack: pack.clone() },
            Source::File { path, offset, descriptor, compression } => Content::Blob {
                file: objects.path_in_store(path)?,
                offset: *offset,
                descriptor: descriptor.clone(),
                compression: *compression,
            },
        };
        Ok(Self { diff_id: layer.diff_id, content })
    }

    fn open(self, objects: &Objects) -> Result<Layer, ImageError> {
        let source = match self.content {
            Content::Packed { size, pack } => Source::Pack { pack, objects: objects.clone(), size },
            Content::Blob { file, offset, descriptor, compression } => {
                Source::File { path: objects.locate(&file)?, offset, descriptor, compression }
            }
        };
        Ok(Layer { diff_id: self.diff_id, source })
    }
}
