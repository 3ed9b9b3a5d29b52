//! `docker://`: a registry.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use image::Digest;
use image::media::Descriptor;
use store::progress::Task;

use crate::blob::Blob;
use crate::client::{Client, Found, manifest, manifest_digest};
use crate::copying::HERE;
use crate::documents::Document;
use crate::download::RemoteBlob;
use crate::error::Error;
use crate::push::put_manifest;
use crate::reference::Reference;
use crate::registry::{Registry, Scopes};
use crate::transport::{Abilities, Destination, Source};
use crate::upload::Uploader;

/// An image at a registry.
pub(crate) struct RegistrySource {
    found: Found,
    /// The registry's host, where it is the one of the reference and no mirror.
    host: Option<String>,
}

impl RegistrySource {
    /// Looks it up.
    pub async fn find(client: &Client, reference: &Reference) -> Result<RegistrySource, Error> {
        let found = client.find(reference).await?;
        let is_home = found.registry.host() == reference.host() && found.repository == reference.repository();
        Ok(RegistrySource { host: is_home.then(|| reference.host().to_owned()), found })
    }
}

impl Source for RegistrySource {
    fn name(&self) -> String {
        self.found.registry.name()
    }

    fn root(&self) -> BoxFuture<'_, Result<Document, Error>> {
        Box::pin(async { Ok(self.found.document.clone()) })
    }

    fn document<'a>(&'a self, wanted: &'a Descriptor) -> BoxFuture<'a, Result<Document, Error>> {
        Box::pin(async { manifest(&self.found.registry, &self.found.repository, &wanted.digest.to_string()).await })
    }

    fn blob(&self, wanted: &Descriptor) -> Box<dyn Blob> {
        let Found { registry, repository, .. } = &self.found;
        let (registry, repository) = (Arc::clone(registry), repository.clone());
        Box::new(RemoteBlob { registry, repository, descriptor: wanted.clone() })
    }

    fn repository(&self) -> Option<(&str, &str)> {
        Some((self.host.as_deref()?, &self.found.repository))
    }
}

/// A name at a registry.
pub(crate) struct RegistryDestination {
    registry: Arc<Registry>,
    reference: Reference,
    scopes: Scopes,
    parallel: usize,
}

impl RegistryDestination {
    /// Finds out how to speak to it.
    pub async fn open(client: &Client, reference: &Reference) -> Result<RegistryDestination, Error> {
        Ok(RegistryDestination {
            registry: client.registry(reference).await?,
            reference: reference.clone(),
            scopes: Scopes::push(reference.repository()),
            parallel: client.settings().parallel.max(1),
        })
    }

    fn uploader(&self) -> Uploader<'_> {
        Uploader { registry: &self.registry, repository: self.reference.repository(), scopes: &self.scopes }
    }

    async fn put_manifest(&self, document: &Document, target: &str) -> Result<(), Error> {
        let (repository, bytes, kind) = (self.reference.repository(), &document.bytes, &document.media_type);
        put_manifest(&self.registry, repository, target, &self.scopes, bytes, kind).await.map(drop)
    }
}

impl Destination for RegistryDestination {
    fn abilities(&self) -> Abilities {
        Abilities { indexes: true, digests: true, parallel: self.parallel }
    }

    fn current(&self) -> BoxFuture<'_, Result<Option<Digest>, Error>> {
        Box::pin(async {
            let repository = self.reference.repository();
            manifest_digest(&self.registry, repository, &self.reference.target(), &self.scopes).await
        })
    }

    fn has(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { self.uploader().has(digest).await })
    }

    fn put<'a>(&'a self, blob: &'a dyn Blob, task: &'a Task<'_>) -> BoxFuture<'a, Result<Descriptor, Error>> {
        Box::pin(async { self.uploader().send_stream(blob, task).await })
    }

    fn mount<'a>(&'a self, digest: Digest, from: (&'a str, &'a str)) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let (host, repository) = from;
            let is_here = host == HERE || host == self.reference.host();
            let possible = is_here && repository != self.reference.repository();
            Ok(possible && self.uploader().mount(digest, repository).await?)
        })
    }

    fn put_document<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { self.put_manifest(document, &document.digest.to_string()).await })
    }

    fn finish<'a>(&'a self, root: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { self.put_manifest(root, &self.reference.target()).await })
    }
}
