//! Which blobs a repository has, by one question instead of one for each blob: a registry that has accepted a manifest has
//! what it names.
//!
//! A registry may have lost a blob since, or collected what it should have kept. Then it refuses the new manifest, and the
//! push asks for each blob after all.

use std::collections::BTreeSet;

use image::{Digest, LayerCache};

use crate::client::manifest;
use crate::documents::Content;
use crate::upload::Uploader;

/// How many images of an index are read.
const MOST_IMAGES: usize = 8;

/// The blobs named by what the tag stands for now, or by what was pushed to the repository last from here.
pub(crate) async fn present(uploader: &Uploader<'_>, tag: Option<Digest>, cache: &LayerCache) -> BTreeSet<Digest> {
    let last = cache.pushed(&place(uploader)).map(|blob| blob.digest).filter(|last| Some(*last) != tag);
    let mut blobs = BTreeSet::new();
    for digest in tag.into_iter().chain(last) {
        add(uploader, digest, &mut blobs).await;
    }
    blobs
}

/// The repository, as the cache remembers it.
pub(crate) fn place(uploader: &Uploader<'_>) -> String {
    format!("{}/{}", uploader.registry.host(), uploader.repository)
}

/// What cannot be read names nothing: then each blob is asked for.
async fn add(uploader: &Uploader<'_>, digest: Digest, blobs: &mut BTreeSet<Digest>) {
    let mut images = vec![digest];
    let mut left = MOST_IMAGES + 1;
    while let Some(digest) = images.pop().filter(|_| left > 0) {
        left -= 1;
        let Ok(document) = manifest(uploader.registry, uploader.repository, &digest.to_string()).await else {
            continue;
        };
        match document.content {
            Content::Image(image) => {
                blobs.insert(image.config.digest);
                blobs.extend(image.layers.iter().map(|layer| layer.digest));
            }
            Content::Index(index) => images.extend(index.manifests.iter().map(|entry| entry.digest)),
        }
    }
}
