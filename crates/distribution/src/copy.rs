//! Copying from registry to registry: everything a tag stands for, byte for byte, without a disk in between.

use std::future::Future;
use std::pin::Pin;

use futures_util::{TryStreamExt, stream};
use image::Digest;
use image::media::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::client::{Client, manifest, manifest_digest};
use crate::documents::{Content, Document};
use crate::error::Error;
use crate::push::put_manifest;
use crate::reference::Reference;
use crate::registry::{Registry, Scopes};
use crate::retry::Attempts;
use crate::upload::Uploader;

/// An index may point to an index; deeper than this is a mistake or malice.
const MAX_DEPTH: usize = 4;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The digest, the same at both places.
    pub digest: Digest,
    /// The destination had it already.
    pub up_to_date: bool,
}

/// One copy in progress.
struct Copying<'a> {
    from: &'a Registry,
    source: &'a str,
    uploader: Uploader<'a>,
    /// The source repository, if it is at the same registry.
    mount_from: Option<&'a str>,
    parallel: usize,
    progress: &'a dyn Progress,
}

impl Client {
    /// Copies an image, or all images of an index, to another name or registry.
    ///
    /// # Errors
    /// As for a pull and a push.
    pub async fn copy(&self, from: &Reference, to: &Reference, progress: &dyn Progress) -> Result<Copied, Error> {
        let (source, document) = self.find(from).await?;
        let destination = self.registry(to).await?;
        let scopes = Scopes::push(to.repository());
        let target = to.target();
        if manifest_digest(&destination, to.repository(), &target, &scopes).await? == Some(document.digest) {
            return Ok(Copied { digest: document.digest, up_to_date: true });
        }
        let copying = Copying {
            from: &source,
            source: from.repository(),
            uploader: Uploader { registry: &destination, repository: to.repository(), scopes: &scopes },
            mount_from: from.same_registry(to).then_some(from.repository()),
            parallel: self.settings().parallel.max(1),
            progress,
        };
        copying.contents(&document, 0).await?;
        copying.put(&document, &target).await?;
        Ok(Copied { digest: document.digest, up_to_date: false })
    }
}

impl Copying<'_> {
    /// Copies what a manifest refers to.
    fn contents<'b>(
        &'b self,
        document: &'b Document,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'b>> {
        Box::pin(async move {
            match &document.content {
                Content::Image(image) => {
                    let blobs = std::iter::once(&image.config).chain(&image.layers);
                    stream::iter(blobs.map(Ok)).try_for_each_concurrent(self.parallel, |blob| self.blob(blob)).await
                }
                Content::Index(_) if depth == MAX_DEPTH => Err(Error::Unusable {
                    what: self.source.to_owned(),
                    reason: format!("its indexes are nested more than {MAX_DEPTH} deep"),
                }),
                Content::Index(index) => {
                    for entry in &index.manifests {
                        let target = entry.digest.to_string();
                        let inner = manifest(self.from, self.source, &target).await?;
                        self.contents(&inner, depth + 1).await?;
                        self.put(&inner, &target).await?;
                    }
                    Ok(())
                }
            }
        })
    }

    async fn put(&self, document: &Document, target: &str) -> Result<(), Error> {
        let Uploader { registry, repository, scopes } = &self.uploader;
        put_manifest(registry, repository, target, scopes, &document.bytes, &document.media_type).await.map(drop)
    }

    async fn blob(&self, blob: &Descriptor) -> Result<(), Error> {
        if self.uploader.has(blob.digest).await? {
            return Ok(());
        }
        if let Some(from) = self.mount_from
            && self.uploader.mount(blob.digest, from).await?
        {
            return Ok(());
        }
        let task = Task::start(self.progress, Activity::Push, &blob.digest.to_string(), Some(blob.size));
        let mut attempts = Attempts::new(self.from.retries());
        loop {
            match self.pipe(blob).await {
                Err(Error::Unreachable { .. }) if attempts.pause(None).await => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        task.advance(blob.size);
        task.finish(Outcome::Done);
        Ok(())
    }

    /// One answer's body becomes the other request's. The destination checks the digest.
    async fn pipe(&self, blob: &Descriptor) -> Result<(), Error> {
        let action = format!("read the blob {} of {}", blob.digest, self.source);
        let url = self.from.url(&format!("{}/blobs/{}", self.source, blob.digest))?;
        let location = self.uploader.closing(blob.digest).await?;
        let send = || Ok(self.from.request(Method::GET, url.clone()));
        let response = self.from.send(&action, &Scopes::pull(self.source), send).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(Error::NotFound { registry: self.from.name(), what: format!("the blob {}", blob.digest) });
            }
            _ => return Err(self.from.refused(&action, response).await),
        }
        let Uploader { registry, repository, scopes } = &self.uploader;
        let action = format!("push the blob {} to {repository}", blob.digest);
        let mut body = Some(Body::from(response));
        let send = || {
            // A second attempt would need a second answer; the permission was found out before.
            let body = body.take().ok_or_else(|| Error::Unreachable {
                registry: registry.name(),
                action: action.clone(),
                message: "it asked for another authorization in the middle".to_owned(),
            })?;
            let request = registry.request(Method::PUT, location.clone()).header(CONTENT_LENGTH, blob.size);
            Ok(request.header(CONTENT_TYPE, "application/octet-stream").body(body))
        };
        let response = registry.send_once(&action, scopes, send).await?;
        match response.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(registry.refused(&action, response).await),
        }
    }
}
