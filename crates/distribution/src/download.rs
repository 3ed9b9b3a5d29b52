//! Getting a blob into a file: streamed, verified, taken up again where the connection broke.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;

use bytes::Bytes;
use image::media::Descriptor;
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::error::{Error, io_error};
use crate::registry::{Registry, Scopes};
use crate::retry::Attempts;

/// How much is gathered before it is hashed and written on a blocking thread.
const BATCH: usize = 1 << 20;

/// A file being filled.
struct Partial {
    file: File,
    hash: Sha256,
    length: u64,
}

/// Gets the blob that `wanted` describes into the file `path`, which must not exist and does only when all is right.
pub(crate) async fn blob(
    registry: &Registry,
    repository: &str,
    wanted: &Descriptor,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let partial_path = path.with_extension("partial");
    let task = Task::start(progress, Activity::Pull, &wanted.digest.to_string(), Some(wanted.size));
    let outcome = fill(registry, repository, wanted, &partial_path, &task).await;
    if let Err(error) = outcome {
        // The first error is the one that matters.
        let _ = fs::remove_file(&partial_path);
        return Err(error);
    }
    fs::rename(&partial_path, path).map_err(io_error("finish", path))?;
    task.finish(Outcome::Done);
    Ok(())
}

async fn fill(
    registry: &Registry,
    repository: &str,
    wanted: &Descriptor,
    path: &Path,
    task: &Task<'_>,
) -> Result<(), Error> {
    let file = File::create(path).map_err(io_error("create", path))?;
    let mut partial = Partial { file, hash: Sha256::new(), length: 0 };
    let action = format!("read the blob {} of {repository}", wanted.digest);
    let url = registry.url(&format!("{repository}/blobs/{}", wanted.digest))?;
    let mut attempts = Attempts::new(registry.retries());
    while partial.length < wanted.size {
        let from = partial.length;
        let send = || {
            let request = registry.request(Method::GET, url.clone());
            Ok(if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request })
        };
        let response = registry.send(&action, &Scopes::pull(repository), send).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => partial.restart().map_err(io_error("rewrite", path))?,
            StatusCode::NOT_FOUND => {
                let what = format!("the blob {} of {repository}", wanted.digest);
                return Err(Error::NotFound { registry: registry.name(), what });
            }
            _ => return Err(registry.refused(&action, response).await),
        }
        let (back, outcome) = receive(partial, response, wanted.size, task).await.map_err(io_error("write", path))?;
        partial = back;
        let broken = match outcome {
            Ok(()) if partial.length < wanted.size => "the answer ended too early".to_owned(),
            Ok(()) => break,
            Err(message) => message,
        };
        // What came counts as a success of its own: only attempts that bring nothing are limited.
        if partial.length > from {
            attempts = Attempts::new(registry.retries());
        }
        if !attempts.pause(None).await {
            return Err(Error::Unreachable { registry: registry.name(), action, message: broken });
        }
    }
    let found = hex::encode(partial.hash.finalize());
    if found != wanted.digest.hex() {
        return Err(Error::Corrupt {
            what: format!("the blob of {repository}"),
            registry: registry.name(),
            expected: wanted.digest.to_string(),
            found: format!("sha256:{found}"),
        });
    }
    partial.file.sync_data().map_err(io_error("write", path))
}

/// Appends an answer's body. The inner error is the connection's; more bytes than announced are one too.
async fn receive(
    mut partial: Partial,
    mut response: Response,
    size: u64,
    task: &Task<'_>,
) -> io::Result<(Partial, Result<(), String>)> {
    loop {
        let (batch, end) = next_batch(&mut response).await;
        let length: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        if partial.length + length > size {
            return Ok((partial, Err(format!("more than the {size} bytes of the manifest came"))));
        }
        partial = tokio::task::spawn_blocking(move || partial.append(&batch)).await.map_err(io::Error::other)??;
        task.advance(length);
        if let Some(end) = end {
            return Ok((partial, end));
        }
    }
}

async fn next_batch(response: &mut Response) -> (Vec<Bytes>, Option<Result<(), String>>) {
    let (mut batch, mut size) = (Vec::new(), 0);
    while size < BATCH {
        match response.chunk().await {
            Ok(Some(piece)) => {
                size += piece.len();
                batch.push(piece);
            }
            Ok(None) => return (batch, Some(Ok(()))),
            Err(error) => return (batch, Some(Err(crate::error::chain(&error)))),
        }
    }
    (batch, None)
}

impl Partial {
    fn append(mut self, batch: &[Bytes]) -> io::Result<Partial> {
        for piece in batch {
            self.file.write_all(piece)?;
            self.hash.update(piece);
            self.length += piece.len() as u64;
        }
        Ok(self)
    }

    /// For a registry that does not know ranges.
    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }
}
