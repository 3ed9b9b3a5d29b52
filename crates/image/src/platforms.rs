//! Images for several platforms under one name: an index of their manifests.

use std::collections::BTreeMap;

use crate::image::Image;
use crate::media::{self, Descriptor, Index, Platform, canonical_json};

/// The bytes of the index; `manifests` are those of the images, in their order.
pub fn index(images: &[Image], manifests: &[Vec<u8>]) -> Vec<u8> {
    let entries = images.iter().zip(manifests).map(|(image, manifest)| entry(image, manifest));
    index_of(entries.collect())
}

/// The image for this machine's platform, or else the first.
pub fn for_here(images: &[Image]) -> Option<&Image> {
    images.iter().find(|image| image.platform().is_here()).or(images.first())
}

/// An image's manifest with its platform, as an index lists it.
pub(crate) fn entry(image: &Image, manifest: &[u8]) -> Descriptor {
    let entry = Descriptor::of(&image.manifest_media_type(), manifest);
    Descriptor { platform: Some(image.platform()), ..entry }
}

pub(crate) fn index_of(manifests: Vec<Descriptor>) -> Vec<u8> {
    let media_type = Some(media::INDEX.to_owned());
    canonical_json(&Index { schema_version: 2, media_type, manifests, annotations: BTreeMap::new() })
}

impl Image {
    /// What the image is for, as its configuration says.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.config.architecture.clone(),
            os: self.config.os.clone(),
            variant: self.config.variant.clone(),
        }
    }
}
