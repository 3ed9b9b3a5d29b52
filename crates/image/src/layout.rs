//! Reading an OCI image layout: a directory of blobs named by digest, with an index.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layer::{Layer, Source};
use crate::media::{Descriptor, INDEX, Index, Manifest, Platform};

/// The annotation that holds a tag, or a whole reference, in a layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd and Docker keep the whole reference.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// No manifest, index or configuration is larger: registries refuse more than 4 MiB.
const MAX_DOCUMENT: u64 = 16 << 20;
/// An index may point at an index; deeper than this is a mistake or malice.
const MAX_DEPTH: usize = 4;

/// The only image of a layout, or the one for this machine's platform.
///
/// # Errors
/// The layout has none or several that fit, a document does not have its digest, or the file system refuses.
pub fn open(directory: &Path) -> Result<Image, ImageError> {
    let layout = Layout { directory };
    let index: Index = layout.parse(&layout.read("index.json")?, "index.json")?;
    layout.image(&index, 0)
}

/// A document of a layout, verified.
struct Layout<'a> {
    directory: &'a Path,
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
        let path = self.blob_path(&blob.digest);
        let size = path.metadata().map_err(io_error(format!("cannot look at the layer {}", path.display())))?.len();
        if size != blob.size {
            let (digest, wanted) = (blob.digest, blob.size);
            return Err(self.unusable(&format!("the layer {digest} should have {wanted} bytes and has {size}")));
        }
        Ok(Layer { diff_id: *diff_id, source: Source::File { path, offset: 0, descriptor: blob.clone(), compression } })
    }

    fn document<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> Result<(Vec<u8>, T), ImageError> {
        let name = format!("blobs/sha256/{}", blob.digest.hex());
        let bytes = self.read(&name)?;
        if Digest::of(&bytes) != blob.digest {
            return Err(self.unusable(&format!("{name} does not have the digest that it is named by")));
        }
        let document = self.parse(&bytes, &name)?;
        Ok((bytes, document))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let path = self.directory.join(name);
        let failed = || format!("cannot read {}", path.display());
        let file = File::open(&path).map_err(io_error(failed()))?;
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(io_error(failed()))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(self.unusable(&format!("{name} is larger than {} MiB", MAX_DOCUMENT >> 20)));
        }
        Ok(bytes)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, bytes: &[u8], name: &str) -> Result<T, ImageError> {
        serde_json::from_slice(bytes).map_err(|error| self.unusable(&format!("{name}: {error}")))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    fn unusable(&self, reason: &str) -> ImageError {
        ImageError::Unusable { path: self.directory.to_owned(), reason: reason.to_owned() }
    }
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
