//! Pushing an image: only what is missing, blobs first, the tag last.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use image::media;
use image::{Compression, Digest, Image, ImageError, LayerCache, platforms};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::blob::{Blob, LayerBlob};
use crate::client::{Client, manifest_digest};
use crate::error::Error;
use crate::present::{place, present};
use crate::reference::Reference;
use crate::registry::{Registry, Scopes};
use crate::upload::Uploader;

/// How to push.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// How layers that are not compressed yet are compressed.
    pub compression: Compression,
    /// What is known of compressed layers from before.
    pub cache: LayerCache,
    /// Move version tags too. Tags such as `latest` always move.
    pub force: bool,
    /// Other repositories of the same registry that may have some of the layers.
    pub mount_from: Vec<String>,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest, by which the image is now there.
    pub digest: Digest,
    /// Nothing had to be sent.
    pub up_to_date: bool,
    /// Bytes of blobs that were sent.
    pub bytes_sent: u64,
    /// How many blobs were sent.
    pub blobs_sent: usize,
    /// How many were taken over from other repositories.
    pub blobs_mounted: usize,
}

/// What has been sent so far.
#[derive(Default)]
struct Tally {
    bytes: AtomicU64,
    sent: AtomicUsize,
    mounted: AtomicUsize,
}

impl Client {
    /// Pushes an image under a tag (`latest` if the reference has none).
    ///
    /// # Errors
    /// A version tag would move and `force` is not set; the image cannot be read; the registry refuses or cannot be
    /// reached. Blobs that were sent before an error stay at the registry, so that the next push does not send them again.
    pub async fn push(
        &self,
        image: &Image,
        reference: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed, Error> {
        self.push_platforms(std::slice::from_ref(image), reference, options, progress).await
    }

    /// As [`Client::push`], for an image that is there for several platforms: each goes under its digest, and an index of
    /// them, at last, under the tag.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn push_platforms(
        &self,
        images: &[Image],
        reference: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed, Error> {
        let registry = self.registry(reference).await?;
        let scopes = Scopes::push(reference.repository());
        let tag = reference.tag().unwrap_or("latest");
        let there = manifest_digest(&registry, reference.repository(), tag, &scopes).await?;
        if let Some(documents) = known_documents(images, options) {
            let digest = documents.digest();
            if there == Some(digest) {
                return Ok(Pushed { digest, up_to_date: true, bytes_sent: 0, blobs_sent: 0, blobs_mounted: 0 });
            }
            check_tag(reference, tag, there, digest, options.force)?;
        } else if let Some(current) = there.filter(|_| is_version(tag) && !options.force) {
            // Learning the digest takes compressing what was never compressed; better than sending it for nothing.
            let digest = in_background(images, options).await?.digest();
            check_tag(reference, tag, Some(current), digest, options.force)?;
        }
        let uploader = Uploader { registry: &registry, repository: reference.repository(), scopes: &scopes };
        let present = present(&uploader, there, &options.cache).await;
        let sending = Sending { client: self, uploader: &uploader, images, options, progress, tally: Tally::default() };
        sending.blobs(&present).await?;
        let documents = in_background(images, options).await?;
        let digest = match documents.put(&uploader, tag).await {
            Err(Error::Refused { .. }) if !present.is_empty() => {
                sending.blobs(&BTreeSet::new()).await?;
                documents.put(&uploader, tag).await?
            }
            outcome => outcome?,
        };
        // Without the note, the next push asks more.
        let _ = options.cache.set_pushed(&place(&uploader), &image::Blob::new(digest, documents.top().0.len() as u64));
        let Sending { tally, .. } = sending;
        Ok(Pushed {
            digest,
            up_to_date: there == Some(digest),
            bytes_sent: tally.bytes.into_inner(),
            blobs_sent: tally.sent.into_inner(),
            blobs_mounted: tally.mounted.into_inner(),
        })
    }
}

/// The manifests of images, and the index of them where there are several.
struct Documents {
    /// Each with its media type.
    manifests: Vec<(Vec<u8>, String)>,
    index: Option<Vec<u8>>,
}

impl Documents {
    fn of(images: &[Image], manifests: Vec<Vec<u8>>) -> Self {
        let index = (images.len() > 1).then(|| platforms::index(images, &manifests));
        let kinds = images.iter().map(Image::manifest_media_type);
        Self { manifests: manifests.into_iter().zip(kinds).collect(), index }
    }

    /// What the tag stands for.
    fn top(&self) -> (&[u8], &str) {
        match (&self.index, self.manifests.first()) {
            (Some(index), _) => (index, media::INDEX),
            (None, Some((manifest, kind))) => (manifest, kind),
            (None, None) => (&[], media::INDEX),
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(self.top().0)
    }

    /// By digest first and by tag last: a tag never stands for something that the registry has not accepted whole.
    async fn put(&self, uploader: &Uploader<'_>, tag: &str) -> Result<Digest, Error> {
        let Uploader { registry, repository, scopes } = uploader;
        let manifests = self.manifests.iter().map(|(bytes, kind)| (&bytes[..], kind.as_str()));
        let (top, kind) = self.top();
        for (bytes, kind) in manifests.chain(self.index.as_deref().map(|index| (index, media::INDEX))) {
            let digest = Digest::of(bytes).to_string();
            put_manifest(registry, repository, &digest, scopes, bytes, kind).await?;
        }
        put_manifest(registry, repository, tag, scopes, top, kind).await
    }
}

/// The documents, if no layer has to be compressed for them.
fn known_documents(images: &[Image], options: &PushOptions) -> Option<Documents> {
    let manifests = images.iter().map(|image| known_manifest(image, options)).collect::<Option<Vec<_>>>()?;
    Some(Documents::of(images, manifests))
}

fn known_manifest(image: &Image, options: &PushOptions) -> Option<Vec<u8>> {
    let layers = image.layers.iter().map(|layer| layer.known_blob(options.compression, &options.cache));
    layers.collect::<Option<Vec<_>>>().map(|layers| image.manifest_of(layers))
}

/// The documents, compressing what must be on a thread that may block.
async fn in_background(images: &[Image], options: &PushOptions) -> Result<Documents, Error> {
    if let Some(documents) = known_documents(images, options) {
        return Ok(documents);
    }
    let (images, compression, cache) = (images.to_vec(), options.compression, options.cache.clone());
    let made = tokio::task::spawn_blocking(move || {
        let manifests = images.iter().map(|image| image.manifest(compression, &cache)).collect::<Result<_, _>>()?;
        Ok::<_, ImageError>(Documents::of(&images, manifests))
    });
    Ok(made.await.map_err(|error| Error::Settings(error.to_string()))??)
}

/// Whether a tag names one release, as `1.2`, `v3` or `2024-01-01` do, and should stay where it is.
pub(crate) fn is_version(tag: &str) -> bool {
    tag.strip_prefix('v').unwrap_or(tag).starts_with(|c: char| c.is_ascii_digit())
}

pub(crate) fn check_tag(
    reference: &Reference,
    tag: &str,
    there: Option<Digest>,
    new: Digest,
    force: bool,
) -> Result<(), Error> {
    match there {
        Some(current) if current != new && is_version(tag) && !force => Err(Error::TagMoves {
            reference: format!("{}/{}:{tag}", reference.host(), reference.repository()),
            current,
            new,
        }),
        _ => Ok(()),
    }
}

/// A push on its way.
struct Sending<'a> {
    client: &'a Client,
    uploader: &'a Uploader<'a>,
    images: &'a [Image],
    options: &'a PushOptions,
    progress: &'a dyn Progress,
    tally: Tally,
}

impl Sending<'_> {
    /// Sends the blobs that the repository does not have. Those in `present` are not asked for.
    async fn blobs(&self, present: &BTreeSet<Digest>) -> Result<(), Error> {
        let mut begun = BTreeSet::new();
        // An image may have the same layer twice, and images for several platforms may share some.
        let layers = self.images.iter().flat_map(|image| &image.layers);
        let layers = layers.filter(|layer| begun.insert(*layer.diff_id()));
        let PushOptions { compression, cache, .. } = self.options;
        let blobs = layers.map(|layer| LayerBlob { layer, compression: *compression, cache });
        let missing = blobs.filter(|blob| blob.known().is_none_or(|known| !present.contains(&known.digest)));
        stream::iter(missing.map(Ok))
            .try_for_each_concurrent(self.client.settings().parallel.max(1), |blob| self.layer(blob))
            .await?;
        for config in self.images.iter().map(Image::config_bytes) {
            let digest = Digest::of(config);
            if !present.contains(&digest) && !self.uploader.has(digest).await? {
                self.uploader.send_bytes(Bytes::copy_from_slice(config), digest).await?;
                self.tally.bytes.fetch_add(config.len() as u64, Ordering::Relaxed);
                self.tally.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    async fn layer(&self, blob: LayerBlob<'_>) -> Result<(), Error> {
        let Self { uploader, tally, .. } = self;
        let known = blob.known();
        if let Some(known) = &known {
            if uploader.has(known.digest).await? {
                return Ok(());
            }
            for from in &self.options.mount_from {
                if from != uploader.repository && uploader.mount(known.digest, from).await? {
                    tally.mounted.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        let name = known.as_ref().map_or_else(|| blob.layer.diff_id().to_string(), |known| known.digest.to_string());
        let task = Task::start(self.progress, Activity::Push, &name, known.map(|known| known.size));
        let sent = uploader.send_stream(&blob, &task).await?;
        tally.bytes.fetch_add(sent.size, Ordering::Relaxed);
        tally.sent.fetch_add(1, Ordering::Relaxed);
        task.finish(Outcome::Done);
        Ok(())
    }
}

/// Stores a manifest under a tag or digest, and makes sure that the registry stored these bytes.
pub(crate) async fn put_manifest(
    registry: &Registry,
    repository: &str,
    target: &str,
    scopes: &Scopes,
    bytes: &[u8],
    media_type: &str,
) -> Result<Digest, Error> {
    let url = registry.url(&format!("{repository}/manifests/{target}"))?;
    let action = format!("push the manifest {repository}:{target}");
    let send = || {
        let request = registry.request(Method::PUT, url.clone()).header(CONTENT_TYPE, media_type);
        Ok(request.body(bytes.to_vec()))
    };
    let response = registry.send(&action, scopes, send).await?;
    if response.status() != StatusCode::CREATED {
        return Err(registry.refused(&action, response).await);
    }
    let digest = Digest::of(bytes);
    let header = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    let stored = match header.map(str::to_owned) {
        Some(stored) => stored,
        None => manifest_digest(registry, repository, target, scopes).await?.map(|d| d.to_string()).unwrap_or_default(),
    };
    if stored == digest.to_string() {
        return Ok(digest);
    }
    Err(Error::Corrupt {
        what: format!("the manifest {repository}:{target}, as stored"),
        registry: registry.name(),
        expected: digest.to_string(),
        found: stored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_tags_stay() {
        for tag in ["1", "v1.2", "0.1.2-rc1", "2024-01-01"] {
            assert!(is_version(tag), "{tag}");
        }
        for tag in ["latest", "main", "vnext", "stable-1"] {
            assert!(!is_version(tag), "{tag}");
        }
    }
}
