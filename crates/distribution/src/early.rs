//! Sending layers while they are packed for the first time, before their image is whole: each is read once, and processors
//! and network work at the same time.
//!
//! Nothing is lost where it fails: a push looks for every blob afterwards, and sends what is missing. As long as a blob is
//! small, its digest is known before it is sent, and it is asked for. A larger one is sent at once only to a repository that
//! has nothing yet; else it waits for the push, which asks.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use image::media::Descriptor;
use image::{Compression, Digest, LayerSink, SinkBlob};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::client::{Client, manifest_digest};
use crate::error::Error;
use crate::push::is_version;
use crate::reference::Reference;
use crate::registry::{Registry, Scopes};
use crate::settings::Settings;
use crate::upload::Uploader;

/// A blob of at most this size is held until it is known.
const HELD: usize = 8 << 20;
/// How many held blobs wait for the network at most.
const WAITING: usize = 6;
/// How many pieces of a larger blob wait for the network.
const PIECES: usize = 4;

/// Which repository an image goes to, by its name.
pub type Destinations = Box<dyn Fn(&str) -> Option<Reference> + Send + Sync>;

/// Sends layers early.
pub struct EarlyPush {
    client: Arc<Client>,
    compression: Compression,
    force: bool,
    destinations: Destinations,
    runtime: Runtime,
    repositories: Mutex<HashMap<String, Option<Arc<Repository>>>>,
    slots: Arc<Semaphore>,
    sent: Arc<Sent>,
}

/// What was sent early.
#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    blobs: AtomicUsize,
}

/// A repository that answers.
struct Repository {
    registry: Arc<Registry>,
    name: String,
    scopes: Scopes,
    is_empty: bool,
}

/// One blob on its way.
struct EarlyBlob<'a> {
    push: &'a EarlyPush,
    repository: Option<Arc<Repository>>,
    held: Vec<u8>,
    stream: Option<Streaming>,
}

/// A blob that is sent before it is known.
struct Streaming {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    digest: oneshot::Sender<Digest>,
}

impl EarlyPush {
    /// Sends layers of this compression to where `destinations` says. No registry is asked before there is a layer. Without
    /// `force`, nothing is sent where a version tag would have to move, which the push will refuse.
    ///
    /// # Errors
    /// No threads can be started.
    pub fn new(
        settings: Settings,
        compression: Compression,
        force: bool,
        destinations: Destinations,
    ) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self {
            client: Arc::new(Client::new(settings)),
            compression,
            force,
            destinations,
            runtime: runtime.map_err(|error| Error::Settings(error.to_string()))?,
            repositories: Mutex::default(),
            slots: Arc::new(Semaphore::new(WAITING)),
            sent: Arc::default(),
        })
    }

    /// Waits until everything has been sent; the bytes and the number of the blobs.
    pub fn finish(&self) -> (u64, usize) {
        self.runtime.block_on(async {
            // Each blob on the way has one.
            let _all = self.slots.acquire_many(WAITING as u32).await;
        });
        (self.sent.bytes.load(Ordering::Relaxed), self.sent.blobs.load(Ordering::Relaxed))
    }

    /// The repository of an image; `None` if it cannot be reached, which the push will say.
    fn repository(&self, image: &str) -> Option<Arc<Repository>> {
        let reference = (self.destinations)(image)?;
        let key = format!("{}/{}", reference.host(), reference.repository());
        let mut known = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            known.entry(key).or_insert_with(|| self.runtime.block_on(self.look_at(&reference)).ok().map(Arc::new));
        found.clone()
    }

    async fn look_at(&self, reference: &Reference) -> Result<Repository, Error> {
        let registry = self.client.registry(reference).await?;
        let name = reference.repository().to_owned();
        let scopes = Scopes::push(&name);
        let tag = reference.tag().unwrap_or("latest");
        if !self.force && is_version(tag) && manifest_digest(&registry, &name, tag, &scopes).await?.is_some() {
            return Err(Error::NotFound { registry: registry.name(), what: "a tag that may be moved".to_owned() });
        }
        let is_empty = match self.client.tags(reference).await {
            Ok(tags) => tags.is_empty(),
            Err(Error::NotFound { .. }) => true,
            Err(_) => false,
        };
        Ok(Repository { registry, scopes, name, is_empty })
    }

    fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.runtime.block_on(Arc::clone(&self.slots).acquire_owned()).ok()
    }
}

impl LayerSink for EarlyPush {
    fn compression(&self) -> Compression {
        self.compression
    }

    fn begin(&self, image: &str) -> Box<dyn SinkBlob + '_> {
        Box::new(EarlyBlob { push: self, repository: self.repository(image), held: Vec::new(), stream: None })
    }
}

impl EarlyBlob<'_> {
    /// What to do with a blob that is too large to be held.
    fn overflow(&mut self) {
        let held = std::mem::take(&mut self.held);
        let Some(repository) = self.repository.take().filter(|repository| repository.is_empty) else { return };
        let Some(slot) = self.push.slot() else { return };
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (digest, known) = oneshot::channel();
        let sent = Arc::clone(&self.push.sent);
        self.push.runtime.spawn(async move {
            if let Ok(size) = repository.send_unknown(receiver, known).await {
                sent.add(size);
            }
            drop(slot);
        });
        let stream = Streaming { pieces, digest };
        self.stream = stream.send(Ok(held.into())).then_some(stream);
    }
}

impl Write for EarlyBlob<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if let Some(stream) = &self.stream {
            if !stream.send(Ok(Bytes::copy_from_slice(data))) {
                self.stream = None;
            }
        } else if self.repository.is_some() {
            self.held.extend_from_slice(data);
            if self.held.len() > HELD {
                self.overflow();
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SinkBlob for EarlyBlob<'_> {
    fn finish(mut self: Box<Self>, blob: &Descriptor) {
        if let Some(stream) = self.stream.take() {
            // The task may have failed.
            let _ = stream.digest.send(blob.digest);
        } else if let Some(repository) = self.repository.take()
            && let Some(slot) = self.push.slot()
        {
            let (held, digest) = (Bytes::from(std::mem::take(&mut self.held)), blob.digest);
            let sent = Arc::clone(&self.push.sent);
            self.push.runtime.spawn(async move {
                let uploader = repository.uploader();
                let length = held.len() as u64;
                if let Ok(false) = uploader.has(digest).await
                    && uploader.send_bytes(held, digest).await.is_ok()
                {
                    sent.add(length);
                }
                drop(slot);
            });
        }
    }
}

impl Drop for EarlyBlob<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.send(Err(io::Error::other("the layer could not be packed")));
        }
    }
}

impl Streaming {
    /// False if nobody takes it any more.
    fn send(&self, piece: io::Result<Bytes>) -> bool {
        self.pieces.blocking_send(piece).is_ok()
    }
}

impl Sent {
    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.blobs.fetch_add(1, Ordering::Relaxed);
    }
}

impl Repository {
    fn uploader(&self) -> Uploader<'_> {
        Uploader { registry: &self.registry, repository: &self.name, scopes: &self.scopes }
    }

    /// Sends a blob whose digest is known when it has ended; its size.
    async fn send_unknown(
        &self,
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        known: oneshot::Receiver<Digest>,
    ) -> Result<u64, Error> {
        let action = format!("push a layer to {}", self.name);
        let uploader = self.uploader();
        let location = uploader.start().await?;
        let size = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&size);
        let body = stream::unfold(pieces, move |mut pieces| {
            let counted = Arc::clone(&counted);
            async move {
                let piece = pieces.recv().await?;
                counted.fetch_add(piece.as_ref().map_or(0, |piece| piece.len() as u64), Ordering::Relaxed);
                Some((piece, pieces))
            }
        });
        let mut body = Some(Body::wrap_stream(body));
        let send = || {
            let again = || Error::Settings("the registry asked for another authorization in the middle".to_owned());
            let request = self.registry.request(Method::PATCH, location.clone());
            Ok(request.header(CONTENT_TYPE, "application/octet-stream").body(body.take().ok_or_else(again)?))
        };
        let response = self.registry.send_once(&action, &self.scopes, send).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.registry.refused(&action, response).await);
        }
        let location = self.registry.location(&response, &action)?;
        let digest = known.await.map_err(|_| Error::Settings("the layer could not be packed".to_owned()))?;
        let url = crate::upload::closing(&location, digest);
        let send = || Ok(self.registry.request(Method::PUT, url.clone()).header(CONTENT_LENGTH, 0));
        let response = self.registry.send_once(&action, &self.scopes, send).await?;
        match response.status() {
            StatusCode::CREATED => Ok(size.load(Ordering::Relaxed)),
            _ => Err(self.registry.refused(&action, response).await),
        }
    }
}
