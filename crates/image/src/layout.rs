//! Reading an OCI image layout: blobs named by digest, and an index.

use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::files::{Files, Location};
use crate::image::Image;
use crate::layer::{Layer, Source};
use crate::media::{Descriptor, INDEX, Index, Manifest, Platform};

/// The file that every layout has.
pub(crate) const MARK_FILE: &str = "oci-layout";
/// The file that lists a layout's manifests.
pub(crate) const INDEX_FILE: &str = "index.json";
/// The annotation that holds a tag, or a whole reference, in a layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd and Docker keep the whole reference.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// An index may point at an index; deeper than this is a mistake or malice.
const MAX_DEPTH: usize = 4;

/// The only image of a layout, or the one for this machine's platform.
pub(crate) fn open(files: &Files) -> Result<Image, ImageError> {
    let layout = Layout { files };
    layout.image(&files.parse(INDEX_FILE, &files.read(INDEX_FILE)?)?, 0)
}

struct Layout<'a> {
    files: &'a Files,
}

impl Layout<'_> {
    fn image(&self, index: &Index, depth: usize) -> Result<Image, ImageError> {
        let entry = self.choose(index)?;
        if is_index(&entry.media_type) {
            if depth == MAX_DEPTH {
                return Err(self.unusable("its indexes point at each other too deeply"));
            }
            return self.image(&self.document(entry)?.1, depth + 1);
        }
        let (manifest_bytes, manifest): (_, Manifest) = self.document(entry)?;
        let (config_bytes, config): (_, crate::config::ImageConfig) = self.document(&manifest.config)?;
        if manifest.layers.len() != config.rootfs.diff_ids.len() {
            return Err(self.unusable("its manifest and its configuration differ in the number of layers"));
        }
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let layers = layers.map(|(blob, diff_id)| self.layer(blob, diff_id)).collect::<Result<_, _>>()?;
        let (name, tag) = reference_of(entry);
        Ok(Image {
            name,
            tag,
            config,
            layers,
            annotations: manifest.annotations.clone(),
            archive_compression: Compression::None,
            nix_snapshotter: false,
            config_bytes,
            manifest_bytes: Some(manifest_bytes),
        })
    }

    fn choose<'b>(&self, index: &'b Index) -> Result<&'b Descriptor, ImageError> {
        let fits = |d: &&Descriptor| d.platform.as_ref().is_none_or(Platform::is_here);
        let mut fitting = index.manifests.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => {
                Err(self.unusable("it holds several images; name one of them by an OCI layout of its own"))
            }
            (None, _) => Err(self.unusable("it holds no image for this machine's platform")),
        }
    }

    fn layer(&self, blob: &Descriptor, diff_id: &Digest) -> Result<Layer, ImageError> {
        let compression = match blob.media_type.as_str() {
            kind if kind.ends_with(".tar") => Compression::None,
            kind if kind.ends_with("gzip") => Compression::Gzip,
            kind if kind.ends_with("zstd") => Compression::Zstd,
            kind => return Err(self.unusable(&format!("it has a layer of type `{kind}`, which Wharf cannot read"))),
        };
        let Location { path, offset, size } = self.files.locate(&blob_name(&blob.digest))?;
        if size != blob.size {
            let (digest, wanted) = (blob.digest, blob.size);
            return Err(self.unusable(&format!("the layer {digest} should have {wanted} bytes and has {size}")));
        }
        Ok(Layer { diff_id: *diff_id, source: Source::File { path, offset, descriptor: blob.clone(), compression } })
    }

    /// A document of the layout, and its bytes, which have the digest that they are named by.
    fn document<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> Result<(Vec<u8>, T), ImageError> {
        let name = blob_name(&blob.digest);
        let bytes = self.files.read(&name)?;
        if Digest::of(&bytes) != blob.digest {
            return Err(self.unusable(&format!("{name} does not have the digest that it is named by")));
        }
        let document = self.files.parse(&name, &bytes)?;
        Ok((bytes, document))
    }

    fn unusable(&self, reason: &str) -> ImageError {
        self.files.unusable(reason)
    }
}

pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn is_index(media_type: &str) -> bool {
    media_type == INDEX || media_type == crate::media::DOCKER_INDEX
}

/// The name and tag that an index gives a manifest: skopeo writes a tag, containerd and buildah a whole reference.
fn reference_of(entry: &Descriptor) -> (Option<String>, Option<String>) {
    let annotation = |name| entry.annotations.get(name).map(String::as_str);
    let whole = annotation(IMAGE_NAME).or_else(|| annotation(REF_NAME).filter(|text| text.contains(['/', ':'])));
    match whole {
        Some(reference) => split_reference(reference),
        None => (None, annotation(REF_NAME).map(str::to_owned)),
    }
}

/// Splits `host:5000/name:tag` at the tag.
pub(crate) fn split_reference(reference: &str) -> (Option<String>, Option<String>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (Some(name.to_owned()), Some(tag.to_owned())),
        _ => (Some(reference.to_owned()), None),
    }
}
