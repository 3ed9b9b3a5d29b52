//! Pulling an image into an OCI layout.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::{TryStreamExt, stream};
use image::Digest;
use image::media::{Descriptor, Manifest, Platform};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::client::{Client, Found, manifest};
use crate::copying::{MAX_DEPTH, nested};
use crate::documents::{Content, Document, choose};
use crate::download::RemoteBlob;
use crate::error::Error;
use crate::layout::Layout;
use crate::reference::Reference;

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What the reference stands for: a manifest, or an index of several.
    pub resolved: Digest,
    /// The manifest of the platform.
    pub manifest: Digest,
    /// Bytes of configuration and layers.
    pub bytes: u64,
}

impl Client {
    /// Pulls the image of `reference` for `platform` into an OCI layout at `directory`, which must not exist. Its index
    /// names the one manifest, as `name:tag` if that is given. After an error there is no directory.
    ///
    /// # Errors
    /// The image is not there or not for the platform, something does not have its digest, or the registry or the file
    /// system refuses.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        directory: &Path,
        name: Option<(&str, &str)>,
        progress: &dyn Progress,
    ) -> Result<Pulled, Error> {
        let found = self.find(reference).await?;
        let resolved = found.document.digest;
        let (entry, document, image) = for_platform(&found, reference, platform).await?;
        let layout = Layout::create(directory)?;
        let outcome = fill(self, &found, &image, &layout, progress).await;
        let finished = outcome.and_then(|bytes| {
            layout.write_blob(&document.bytes)?;
            layout.finish(entry, name.map(|(name, _)| name), name.map(|(_, tag)| tag))?;
            Ok(Pulled { resolved, manifest: document.digest, bytes })
        });
        if finished.is_err() {
            layout.abandon();
        }
        finished
    }
}

/// Follows indexes to the platform's image manifest.
async fn for_platform(
    found: &Found,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Descriptor, Document, Manifest), Error> {
    let mut document = found.document.clone();
    let mut entry = document.descriptor();
    for _ in 0..MAX_DEPTH {
        let chosen = match &document.content {
            Content::Image(image) => {
                let image = (**image).clone();
                return Ok((entry, document, image));
            }
            Content::Index(index) => choose(index, platform, &reference.to_string())?.clone(),
        };
        document = manifest(&found.registry, &found.repository, &chosen.digest.to_string()).await?;
        // Without the platform: the one image of a layout is meant, also on a machine of another kind.
        entry = document.descriptor();
    }
    Err(nested(&reference.to_string()))
}

async fn fill(
    client: &Client,
    found: &Found,
    image: &Manifest,
    layout: &Layout,
    progress: &dyn Progress,
) -> Result<u64, Error> {
    // An image may have the same layer twice.
    let wanted: BTreeMap<Digest, &Descriptor> =
        std::iter::once(&image.config).chain(&image.layers).map(|blob| (blob.digest, blob)).collect();
    let bytes = wanted.values().map(|blob| blob.size).sum();
    stream::iter(wanted.into_values().map(Ok))
        .try_for_each_concurrent(client.settings().parallel.max(1), |blob| async move {
            let (registry, repository) = (Arc::clone(&found.registry), found.repository.clone());
            let task = Task::start(progress, Activity::Pull, &blob.digest.to_string(), Some(blob.size));
            let remote = RemoteBlob { registry, repository, descriptor: blob.clone() };
            layout.receive(&remote, &remote.registry.name(), &task).await?;
            task.finish(Outcome::Done);
            Ok::<_, Error>(())
        })
        .await?;
    Ok(bytes)
}
