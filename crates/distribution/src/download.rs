//! Getting a blob from a registry: as a stream that is taken up again where the connection broke.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use image::media::Descriptor;
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};

use crate::blob::Blob;
use crate::byte_stream::{ByteStream, wrapped};
use crate::error::{Error, chain};
use crate::registry::{Registry, Scopes};
use crate::retry::Attempts;

/// A blob of a repository.
#[derive(Clone)]
pub(crate) struct RemoteBlob {
    pub registry: Arc<Registry>,
    pub repository: String,
    pub descriptor: Descriptor,
}

impl Blob for RemoteBlob {
    fn open(&self, skip: u64) -> ByteStream {
        let download = Download {
            blob: self.clone(),
            position: skip,
            answer: None,
            discard: 0,
            attempts: Attempts::new(self.registry.retries()),
        };
        let next = |mut download: Download| async move {
            let piece = download.next().await.map_err(wrapped)?;
            Ok(piece.map(|piece| (piece, download)))
        };
        stream::try_unfold(download, next).boxed()
    }

    fn known(&self) -> Option<Descriptor> {
        Some(self.descriptor.clone())
    }
}

/// A blob on its way.
struct Download {
    blob: RemoteBlob,
    /// The number of bytes that came or were not wanted.
    position: u64,
    answer: Option<Response>,
    /// What to leave out of the answer, whose registry does not know ranges.
    discard: u64,
    attempts: Attempts,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.position < self.blob.descriptor.size {
            let mut answer = match self.answer.take() {
                Some(answer) => answer,
                None => self.ask().await?,
            };
            let broken = match answer.chunk().await {
                Ok(Some(piece)) => {
                    self.answer = Some(answer);
                    match self.wanted(piece)? {
                        piece if piece.is_empty() => continue,
                        piece => return Ok(Some(piece)),
                    }
                }
                Ok(None) => "the answer ended too early".to_owned(),
                Err(error) => chain(&error),
            };
            if !self.attempts.pause(None).await {
                let (registry, action) = (self.blob.registry.name(), self.action());
                return Err(Error::Unreachable { registry, action, message: broken });
            }
        }
        match &mut self.answer {
            // One byte more would be another blob.
            Some(answer) => match answer.chunk().await {
                Ok(Some(_)) => Err(self.too_long()),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    fn action(&self) -> String {
        format!("read the blob {} of {}", self.blob.descriptor.digest, self.blob.repository)
    }

    async fn ask(&mut self) -> Result<Response, Error> {
        let RemoteBlob { registry, repository, descriptor } = &self.blob;
        let url = registry.url(&format!("{repository}/blobs/{}", descriptor.digest))?;
        let (action, from) = (self.action(), self.position);
        let send = || {
            let request = registry.request(Method::GET, url.clone());
            Ok(if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request })
        };
        let answer = registry.send(&action, &Scopes::pull(repository), send).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => self.discard = 0,
            StatusCode::OK => self.discard = from,
            StatusCode::NOT_FOUND => {
                let what = format!("blob {} of {repository}", descriptor.digest);
                return Err(Error::NotFound { registry: registry.name(), what });
            }
            _ => return Err(registry.refused(&action, answer).await),
        }
        Ok(answer)
    }

    /// What is new of a piece. What came counts as a success of its own: only attempts that bring nothing are limited.
    fn wanted(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        let known = self.discard.min(piece.len() as u64);
        self.discard -= known;
        let piece = piece.slice(known as usize..);
        self.position += piece.len() as u64;
        if self.position > self.blob.descriptor.size {
            return Err(self.too_long());
        }
        if !piece.is_empty() {
            self.attempts = Attempts::new(self.blob.registry.retries());
        }
        Ok(piece)
    }

    fn too_long(&self) -> Error {
        let (digest, size) = (self.blob.descriptor.digest, self.blob.descriptor.size);
        Error::Corrupt {
            what: format!("the blob of {}", self.blob.repository),
            registry: self.blob.registry.name(),
            expected: digest.to_string(),
            found: format!("more than {size} bytes"),
        }
    }
}
