//! Sending one blob: asked for first, mounted where it can be, taken up again where the connection broke.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use image::Digest;
use image::media::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Body, Method, Response, StatusCode};
use store::progress::Task;
use tokio::sync::mpsc;
use url::Url;

use crate::blob::Blob;
use crate::byte_stream::{ByteStream, unwrapped};
use crate::error::Error;
use crate::registry::{Registry, Scopes};
use crate::retry::{Attempts, is_transient, retry_after};

const OCTETS: &str = "application/octet-stream";

/// Uploads to one repository.
pub(crate) struct Uploader<'a> {
    pub registry: &'a Registry,
    pub repository: &'a str,
    pub scopes: &'a Scopes,
}

/// The body of a request, with what became of it on our side.
struct Outgoing {
    body: Body,
    /// The length of each piece that was taken by the connection.
    sent: mpsc::UnboundedReceiver<u64>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Uploader<'_> {
    fn action(&self, what: &str) -> String {
        format!("push {what} to {}", self.repository)
    }

    /// Whether the repository has the blob.
    pub async fn has(&self, digest: Digest) -> Result<bool, Error> {
        let url = self.registry.url(&format!("{}/blobs/{digest}", self.repository))?;
        let action = format!("look up the blob {digest} of {}", self.repository);
        let send = || Ok(self.registry.request(Method::HEAD, url.clone()));
        let response = self.registry.send(&action, self.scopes, send).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.registry.refused(&action, response).await),
        }
    }

    /// Takes the blob over from another repository of the registry, if that has it and we may read it.
    pub async fn mount(&self, digest: Digest, from: &str) -> Result<bool, Error> {
        let mut url = self.registry.url(&format!("{}/blobs/uploads/", self.repository))?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        let scopes = self.scopes.clone().and_pull(from);
        let action = self.action(&format!("the blob {digest} of {from}"));
        let send = || Ok(self.registry.request(Method::POST, url.clone()).header(CONTENT_LENGTH, 0));
        let response = self.registry.send(&action, &scopes, send).await?;
        if response.status() == StatusCode::ACCEPTED {
            self.cancel(&self.registry.location(&response, &action)?).await;
        }
        Ok(response.status() == StatusCode::CREATED)
    }

    /// Ends an upload that was started for nothing. The registry forgets it some day in any case.
    async fn cancel(&self, location: &Url) {
        let send = || Ok(self.registry.request(Method::DELETE, location.clone()));
        let _ = self.registry.send_once("cancel an upload", self.scopes, send).await;
    }

    /// Starts an upload and returns its address.
    pub async fn start(&self) -> Result<Url, Error> {
        let url = self.registry.url(&format!("{}/blobs/uploads/", self.repository))?;
        let action = self.action("a blob");
        let send = || Ok(self.registry.request(Method::POST, url.clone()).header(CONTENT_LENGTH, 0));
        let response = self.registry.send(&action, self.scopes, send).await?;
        match response.status() {
            StatusCode::ACCEPTED => self.registry.location(&response, &action),
            _ => Err(self.registry.refused(&action, response).await),
        }
    }

    /// Sends a blob that is in memory and has this digest.
    pub async fn send_bytes(&self, bytes: Bytes, digest: Digest) -> Result<(), Error> {
        let action = self.action(&format!("the blob {digest}"));
        let mut attempts = Attempts::new(self.registry.retries());
        loop {
            let location = closing(&self.start().await?, digest);
            let send = || {
                let request = self.registry.request(Method::PUT, location.clone()).header(CONTENT_TYPE, OCTETS);
                Ok(request.header(CONTENT_LENGTH, bytes.len()).body(bytes.clone()))
            };
            let outcome = self.registry.send_once(&action, self.scopes, send).await;
            if self.judge(outcome, &action, &mut attempts).await? {
                return Ok(());
            }
        }
    }

    /// True: stored. False: worth another attempt, and the pause is over.
    async fn judge(
        &self,
        outcome: Result<Response, Error>,
        action: &str,
        attempts: &mut Attempts,
    ) -> Result<bool, Error> {
        match outcome {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(true),
            Ok(response) if retriable(response.status()) => {
                if attempts.pause(retry_after(response.headers())).await {
                    return Ok(false);
                }
                Err(self.registry.refused(action, response).await)
            }
            Ok(response) => Err(self.registry.refused(action, response).await),
            Err(error @ Error::Unreachable { .. }) => {
                if attempts.pause(None).await {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a blob as a stream and returns what it was.
    pub async fn send_stream(&self, blob: &dyn Blob, task: &Task<'_>) -> Result<Descriptor, Error> {
        let mut attempts = Attempts::new(self.registry.retries());
        if !blob.repeats() {
            attempts = attempts.only_one();
        }
        let mut location = self.start().await?;
        let mut offset = 0;
        loop {
            let known = blob.known();
            let action = match &known {
                Some(known) => self.action(&format!("the blob {}", known.digest)),
                None => self.action("a layer"),
            };
            let outcome = match &known {
                Some(known) if offset == 0 => self.send_whole(blob, known, &location, &action, task).await,
                _ => self.send_rest(blob, known.as_ref(), &location, offset, &action, task).await,
            };
            if self.judge(outcome, &action, &mut attempts).await? {
                return blob.known().ok_or_else(|| Error::Refused {
                    registry: self.registry.name(),
                    action,
                    message: "the layer's digest is not known after it was sent".to_owned(),
                });
            }
            // Only bytes whose digest is known can be taken up: the rest of another compression would not fit.
            (location, offset) = match self.progress(&location).await.filter(|_| known.is_some()) {
                Some(found) => found,
                None => (self.start().await?, 0),
            };
        }
    }

    /// The whole blob in the closing request.
    async fn send_whole(
        &self,
        blob: &dyn Blob,
        known: &Descriptor,
        location: &Url,
        action: &str,
        task: &Task<'_>,
    ) -> Result<Response, Error> {
        let url = closing(location, known.digest);
        let request = |body| {
            let request = self.registry.request(Method::PUT, url.clone()).header(CONTENT_TYPE, OCTETS);
            request.header(CONTENT_LENGTH, known.size).body(body)
        };
        self.send_outgoing(blob, 0, action, task, request).await
    }

    /// What is missing in one chunk, of unknown length if the digest is not known yet, then the closing request.
    async fn send_rest(
        &self,
        blob: &dyn Blob,
        known: Option<&Descriptor>,
        location: &Url,
        offset: u64,
        action: &str,
        task: &Task<'_>,
    ) -> Result<Response, Error> {
        let request = |body| {
            let mut request = self.registry.request(Method::PATCH, location.clone()).header(CONTENT_TYPE, OCTETS);
            if let Some(known) = known {
                request = request.header(CONTENT_LENGTH, known.size.saturating_sub(offset));
                request = request.header(CONTENT_RANGE, format!("{offset}-{}", known.size.saturating_sub(1)));
            }
            request.body(body)
        };
        let response = self.send_outgoing(blob, offset, action, task, request).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Ok(response);
        }
        let location = self.registry.location(&response, action)?;
        let Some(sent) = blob.known() else { return Ok(response) };
        let url = closing(&location, sent.digest);
        let send = || Ok(self.registry.request(Method::PUT, url.clone()).header(CONTENT_LENGTH, 0));
        self.registry.send_once(action, self.scopes, send).await
    }

    async fn send_outgoing(
        &self,
        blob: &dyn Blob,
        skip: u64,
        action: &str,
        task: &Task<'_>,
        request: impl Fn(Body) -> reqwest::RequestBuilder,
    ) -> Result<Response, Error> {
        let mut current = None;
        let (announce, mut announced) = mpsc::unbounded_channel();
        let send = || {
            let outgoing = outgoing(blob.open(skip));
            let built = request(outgoing.body);
            current = Some(outgoing.failure);
            // The receiver lives as long as this function.
            let _ = announce.send(outgoing.sent);
            Ok(built)
        };
        let outcome = {
            let response = self.registry.send_once(action, self.scopes, send);
            let mut response = std::pin::pin!(response);
            let mut sent: Option<mpsc::UnboundedReceiver<u64>> = None;
            loop {
                tokio::select! {
                    outcome = &mut response => break outcome,
                    Some(next) = announced.recv() => sent = Some(next),
                    Some(length) = next_length(&mut sent) => task.advance(length),
                }
            }
        };
        let failure = current.and_then(|slot| slot.lock().ok().and_then(|mut slot| slot.take()));
        match failure {
            // Reading it again would fail again.
            Some(source) => Err(unwrapped(source, "a layer to push")),
            None => outcome,
        }
    }

    /// Where an upload stands, if the registry still knows it.
    async fn progress(&self, location: &Url) -> Option<(Url, u64)> {
        let send = || Ok(self.registry.request(Method::GET, location.clone()));
        let response = self.registry.send_once("look up an upload", self.scopes, send).await.ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        let location = self.registry.location(&response, "look up an upload").ok()?;
        let range = response.headers().get(RANGE)?.to_str().ok()?;
        let last: u64 = range.trim_start_matches("bytes=").split_once('-')?.1.parse().ok()?;
        // `0-0` is what an empty upload says too.
        Some((location, if last == 0 { 0 } else { last + 1 }))
    }
}

/// Waits for ever while nothing is being sent.
async fn next_length(sent: &mut Option<mpsc::UnboundedReceiver<u64>>) -> Option<u64> {
    match sent {
        Some(receiver) => match receiver.recv().await {
            Some(length) => Some(length),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Whether another attempt, perhaps with a new upload, may succeed: 404 and 416 say that the registry's idea of the
/// upload is another than ours.
fn retriable(status: StatusCode) -> bool {
    is_transient(status) || matches!(status, StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE)
}

/// The upload's location with the digest added, whatever query it has.
pub(crate) fn closing(location: &Url, digest: Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

/// Makes a stream a request's body, and keeps its error, which the HTTP client would only print.
fn outgoing(bytes: ByteStream) -> Outgoing {
    let (announce, sent) = mpsc::unbounded_channel();
    let failure: Arc<Mutex<Option<io::Error>>> = Arc::default();
    let slot = Arc::clone(&failure);
    let noted = bytes.map(move |piece| {
        if let Ok(piece) = &piece {
            // Who shows the progress may have gone.
            let _ = announce.send(piece.len() as u64);
        }
        piece.map_err(|error| {
            let message = io::Error::new(error.kind(), error.to_string());
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(error);
            }
            message
        })
    });
    Outgoing { body: Body::wrap_stream(noted), sent, failure }
}
