//! What an image is made of, as plain data for people and programs to look at.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cache::LayerCache;
use crate::compress::Compression;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::image::Image;
use crate::layer::{Layer, Source};

/// An image, looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The image's reference, `name:tag`.
    pub reference: Option<String>,
    /// The digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The layers, the lowest first.
    pub layers: Vec<LayerInspection>,
    /// The sum of the layers' sizes before compression, as far as they are known.
    pub size: u64,
}

/// A layer, looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerInspection {
    /// The digest of the tar stream before compression.
    pub diff_id: Digest,
    /// The size of the tar stream before compression in bytes, if it is known.
    pub size: Option<u64>,
    /// Digest and size of the blob that a registry is sent, if they are known.
    pub blob: Option<BlobInspection>,
    /// Where the layer comes from.
    pub origin: Origin,
    /// The store objects in it, as absolute paths.
    pub store_paths: Vec<String>,
    /// What the image's root has from this layer: the contents that are copied or linked there.
    pub contents: Vec<String>,
    /// What the image's history says of it.
    pub comment: Option<String>,
}

/// A layer's blob.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobInspection {
    /// The digest.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The media type.
    pub media_type: String,
}

/// Where a layer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Store objects.
    Store,
    /// Another image.
    Base,
}

impl Inspection {
    /// Looks at an image, without reading its layers. `compression` is the one that a push would use.
    pub fn of(image: &Image, compression: Compression, cache: &LayerCache) -> Self {
        let mut comments = image.config.history.iter().filter(|entry| !entry.empty_layer);
        let layers: Vec<_> = image
            .layers
            .iter()
            .map(|layer| {
                LayerInspection::of(layer, compression, cache, comments.next().and_then(|e| e.comment.clone()))
            })
            .collect();
        Self {
            reference: image.reference(),
            id: image.id(),
            config: image.config.clone(),
            annotations: image.annotations.clone(),
            size: layers.iter().filter_map(|layer| layer.size).sum(),
            layers,
        }
    }
}

impl LayerInspection {
    fn of(layer: &Layer, compression: Compression, cache: &LayerCache, comment: Option<String>) -> Self {
        let (origin, contents) = match layer.source() {
            Source::Pack { pack, .. } => (Origin::Store, pack.head.paths()),
            Source::File { .. } => (Origin::Base, &[][..]),
        };
        let known = cache.compressed(layer.diff_id(), Compression::None).map(|blob| blob.size);
        let blob = layer.known_blob(compression, cache);
        Self {
            diff_id: *layer.diff_id(),
            size: layer.tar_size().or(known),
            blob: blob.map(|b| BlobInspection { digest: b.digest, size: b.size, media_type: b.media_type }),
            origin,
            store_paths: layer.objects().iter().map(|path| path.to_absolute()).collect(),
            contents: contents.iter().map(|path| path.display().to_string()).collect(),
            comment,
        }
    }
}
