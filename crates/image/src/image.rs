//! An image: configuration, layers and name, wherever it comes from.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use nix_formats::store_path::StorePath;
use store::Store;

use crate::cache::LayerCache;
use crate::compress::Compression;
use crate::config::ImageConfig;
use crate::description::Description;
use crate::digest::Digest;
use crate::docker::{Selection, Wanted};
use crate::error::ImageError;
use crate::layer::Layer;
use crate::media::{self, Descriptor, Manifest, canonical_json};
use crate::objects::Objects;

/// An image that can be run, pushed or written as an archive.
#[derive(Clone, Debug)]
pub struct Image {
    /// The repository's name, as `ollama` or `registry.example.org/team/app`; an archive from outside may lack it.
    pub name: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The configuration.
    pub config: ImageConfig,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// How the image's archive is compressed as a whole, as its definition asks.
    pub archive_compression: Compression,
    /// Whether the manifest tells nix-snapshotter which store paths layers hold, so that a node can mount them.
    pub nix_snapshotter: bool,
    /// The bytes of the configuration: an image from outside keeps its own, so that its digest stays the same.
    pub(crate) config_bytes: Vec<u8>,
    /// The bytes of the manifest, where the image comes from outside and has one.
    pub(crate) manifest_bytes: Option<Vec<u8>>,
}

impl Image {
    /// The image that a derivation of `builtin:oci-image` made, or that `builtin:oci-pull` pulled, or an archive.
    /// A compressed archive is unpacked as [`Image::open_path`] says; nothing else is written to `scratch`.
    ///
    /// # Errors
    /// The object is none of these, or it is damaged.
    pub fn open(store: &dyn Store, object: &StorePath, scratch: &Path) -> Result<Self, ImageError> {
        let objects = Objects::of_store(store, object);
        crate::open::open_object(&objects, object, scratch, Wanted::Only)
    }

    /// An image from outside the store: an OCI layout, an OCI archive or a docker archive. A compressed archive is
    /// unpacked into the directory `scratch`, where it must stay as long as the image is used. Where no name and tag
    /// are wanted, there must be one image only.
    ///
    /// # Errors
    /// It is none of these, or it is damaged.
    pub fn open_path(path: &Path, scratch: &Path, wanted: Selection<'_>) -> Result<Self, ImageError> {
        let any = wanted.name.is_none() && wanted.tag.is_none();
        crate::open::open_path(path, scratch, if any { Wanted::Only } else { Wanted::First(wanted) })
    }

    /// The bytes of the `image.json` that stands for the image in a store.
    ///
    /// # Errors
    /// A layer's file is not in the store.
    pub fn description(&self, objects: &Objects) -> Result<Vec<u8>, ImageError> {
        Ok(Description::of(self, objects)?.to_bytes())
    }

    /// The bytes of the configuration.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config_bytes
    }

    /// The digest of the configuration, which docker and podman call the image's ID.
    pub fn id(&self) -> Digest {
        Digest::of(&self.config_bytes)
    }

    /// The name and tag as `name:tag`, if the image has a name.
    pub fn reference(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!("{name}:{}", self.tag.as_deref().unwrap_or("latest")))
    }

    /// The manifest's bytes for layers of this compression, compressing what was never compressed before.
    /// An image from outside keeps its own manifest.
    ///
    /// # Errors
    /// A layer cannot be read.
    pub fn manifest(&self, compression: Compression, cache: &LayerCache) -> Result<Vec<u8>, ImageError> {
        if let Some(bytes) = &self.manifest_bytes {
            return Ok(bytes.clone());
        }
        let layers = self.layers.iter().map(|layer| layer.blob(compression, cache)).collect::<Result<_, _>>()?;
        Ok(self.manifest_of(layers))
    }

    /// The manifest for layers with this compression, if the digests of all of them are known: nothing is compressed.
    pub fn known_manifest(&self, compression: Compression, cache: &LayerCache) -> Option<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.known_blob(compression, cache)).collect::<Option<_>>()?;
        Some(self.manifest_of(layers))
    }

    /// The manifest's bytes for layers whose blobs are these.
    pub fn manifest_of(&self, layers: Vec<Descriptor>) -> Vec<u8> {
        self.manifest_bytes.clone().unwrap_or_else(|| self.own_manifest(layers))
    }

    /// As [`Image::manifest_of`], but for these layers even if the image comes with a manifest.
    pub(crate) fn own_manifest(&self, mut layers: Vec<Descriptor>) -> Vec<u8> {
        if self.nix_snapshotter {
            self.layers.iter().zip(&mut layers).for_each(|(layer, blob)| blob.annotations.extend(snapshotter(layer)));
        }
        canonical_json(&Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: Descriptor::of(media::CONFIG, &self.config_bytes),
            layers,
            annotations: self.annotations.clone(),
        })
    }

    /// The media type of the manifest.
    pub fn manifest_media_type(&self) -> String {
        let own = self.manifest_bytes.as_ref().and_then(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
        own.and_then(|manifest| manifest.media_type).unwrap_or_else(|| media::MANIFEST.to_owned())
    }

    /// Reads every layer once and checks its digest.
    ///
    /// # Errors
    /// A layer cannot be read, or has changed.
    pub fn verify(&self) -> Result<(), ImageError> {
        self.layers.iter().try_for_each(|layer| layer.write_tar(io::sink()).map(drop))
    }
}

/// The annotations by which nix-snapshotter knows a layer of store objects.
fn snapshotter(layer: &Layer) -> Vec<(String, String)> {
    let paths = layer.store_paths();
    let mark = (!paths.is_empty()).then(|| ("containerd.io/snapshot/nix-layer".to_owned(), "true".to_owned()));
    let path = |(number, path): (usize, &StorePath)| {
        (format!("containerd.io/snapshot/nix-store-path.{number}"), path.to_absolute())
    };
    mark.into_iter().chain(paths.iter().enumerate().map(path)).collect()
}
