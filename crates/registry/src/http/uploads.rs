//! Pushing blobs: in one request, in two, in chunks, or by mounting.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_RANGE;
use hyper::{HeaderMap, StatusCode};
use tokio::task::JoinHandle;

use super::answer::{self, Reply};
use super::request::{Query, collect, content_length, header, next_piece};
use super::{App, Caller, blocking};
use crate::config::Action;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::name::RepositoryName;
use crate::storage::UploadId;
use crate::uploads::{Session, Writer, WriterGuard};
use crate::webhooks::Target;

/// A blob that arrives in one request is kept in memory up to this size.
const IN_MEMORY: usize = 1 << 20;
/// How much is gathered before it is handed to a blocking thread.
const BATCH: usize = 512 * 1024;

/// `POST`: mount, take a whole blob, or start an upload.
pub async fn start(
    app: &Arc<App>,
    caller: &Caller,
    repository: RepositoryName,
    query: &Query,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Error> {
    if let Some(reply) = mount(app, caller, &repository, query).await? {
        return Ok(reply);
    }
    if let Some(digest) = query.get("digest") {
        return take_whole(app, repository, digest.parse()?, headers, body).await;
    }
    let algorithm = query.get("digest-algorithm").map_or(Ok(Algorithm::Sha256), str::parse)?;
    let owner = Arc::clone(app);
    let name = repository.clone();
    let session = blocking(move || owner.uploads.start(&name, algorithm)).await?;
    Ok(answer::upload_progress(StatusCode::ACCEPTED, &repository, session.id.as_str(), 0))
}

/// Links a blob of another repository. What cannot be mounted is simply to be uploaded, and nothing is told of why.
async fn mount(
    app: &Arc<App>,
    caller: &Caller,
    repository: &RepositoryName,
    query: &Query,
) -> Result<Option<Reply>, Error> {
    let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) else { return Ok(None) };
    let digest: Digest = digest.parse()?;
    let Ok(from) = from.parse::<RepositoryName>() else { return Ok(None) };
    let (owner, to, wanted, authorization) =
        (Arc::clone(app), repository.clone(), digest.clone(), caller.authorization.clone());
    let mounted = blocking(move || {
        let readable = owner.auth.authorize(authorization.as_deref(), crate::auth::Access::Pull(&from)).is_ok();
        Ok(readable && owner.repositories.mount(&from, &to, &wanted)?)
    })
    .await?;
    if !mounted {
        return Ok(None);
    }
    app.notify(Action::Mount, caller, Target::blob(repository, &digest)).await?;
    Ok(Some(blob_created(repository, &digest)))
}

fn blob_created(repository: &RepositoryName, digest: &Digest) -> Reply {
    answer::created(&format!("/v2/{repository}/blobs/{digest}"), digest)
}

/// A whole blob in one `POST`.
async fn take_whole(
    app: &Arc<App>,
    repository: RepositoryName,
    digest: Digest,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Reply, Error> {
    if content_length(headers).is_some_and(|length| length <= IN_MEMORY as u64) {
        let bytes = collect(&mut body, IN_MEMORY).await?.unwrap_or_default();
        let (app, name, claimed) = (Arc::clone(app), repository.clone(), digest.clone());
        blocking(move || {
            let actual = Digest::of(claimed.algorithm(), &bytes);
            if actual != claimed {
                return Err(Error::DigestMismatch { claimed, actual });
            }
            app.storage.put_blob(&claimed, &bytes)?;
            app.repositories.link_blob(&name, &claimed)
        })
        .await?;
        return Ok(blob_created(&repository, &digest));
    }
    let (owner, algorithm) = (Arc::clone(app), digest.algorithm());
    let mut writer = Some(blocking(move || owner.uploads.start_unnamed(algorithm)).await?);
    let received = receive(&mut writer, &mut body, |_| ()).await;
    let Some(writer) = writer else { return Err(Error::UploadUnknown) };
    if let Err(error) = received {
        blocking(move || Ok(writer.discard()?)).await?;
        return Err(error);
    }
    finish(app, writer, repository, digest).await
}

async fn finish(app: &Arc<App>, writer: Writer, repository: RepositoryName, digest: Digest) -> Result<Reply, Error> {
    let app = Arc::clone(app);
    blocking(move || {
        writer.finish(&digest)?;
        app.repositories.link_blob(&repository, &digest)?;
        Ok(blob_created(&repository, &digest))
    })
    .await
}

/// `GET`: how far an upload is.
pub async fn status(app: &Arc<App>, repository: RepositoryName, id: UploadId) -> Result<Reply, Error> {
    let session = find(app, &repository, id).await?;
    Ok(answer::upload_progress(StatusCode::NO_CONTENT, &repository, session.id.as_str(), session.offset()))
}

/// `DELETE`: cancels an upload.
pub async fn cancel(app: &Arc<App>, repository: RepositoryName, id: UploadId) -> Result<Reply, Error> {
    let session = find(app, &repository, id).await?;
    let writer = session.try_write()?.take();
    app.uploads.forget(&session.id);
    if let Some(writer) = writer {
        blocking(move || Ok(writer.discard()?)).await?;
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// `PATCH`: a chunk. What came before the client went away is kept.
pub async fn append(
    app: &Arc<App>,
    repository: RepositoryName,
    id: UploadId,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Reply, Error> {
    let session = find(app, &repository, id).await?;
    let outcome = match session.try_write() {
        Ok(mut guard) => receive_chunk(&session, &mut guard, headers, &mut body).await,
        Err(error) => Err(error),
    };
    let mut reply = match &outcome {
        Ok(()) => answer::empty(StatusCode::ACCEPTED),
        Err(error @ Error::RangeInvalid { .. }) => answer::error(error),
        Err(_) => return outcome.map(|()| answer::empty(StatusCode::ACCEPTED)),
    };
    answer::set_upload_progress(&mut reply, &repository, session.id.as_str(), session.offset());
    Ok(reply)
}

/// `PUT`: the last chunk, if there is one, and the digest of the whole.
pub async fn complete(
    app: &Arc<App>,
    repository: RepositoryName,
    id: UploadId,
    query: &Query,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Reply, Error> {
    let digest: Digest = match query.get("digest") {
        Some(digest) => digest.parse()?,
        None => return Err(Error::UploadInvalid("an upload is closed with `?digest=`".into())),
    };
    let session = find(app, &repository, id).await?;
    let mut guard = session.try_write()?;
    if let Err(error) = receive_chunk(&session, &mut guard, headers, &mut body).await {
        let mut reply = answer::error(&error);
        answer::set_upload_progress(&mut reply, &repository, session.id.as_str(), session.offset());
        return Ok(reply);
    }
    let writer = guard.take().ok_or(Error::UploadUnknown)?;
    app.uploads.forget(&session.id);
    finish(app, writer, repository, digest).await
}

async fn find(app: &Arc<App>, repository: &RepositoryName, id: UploadId) -> Result<Arc<Session>, Error> {
    if let Some(session) = app.uploads.known(repository, &id) {
        return Ok(session);
    }
    let (app, repository) = (Arc::clone(app), repository.clone());
    blocking(move || app.uploads.find(&repository, &id)).await
}

/// Appends a request's body to an upload and notes the state.
async fn receive_chunk(
    session: &Arc<Session>,
    guard: &mut WriterGuard,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(), Error> {
    let before = session.offset();
    check_range(headers, before)?;
    let received = receive(guard, body, |offset| session.set_offset(offset)).await;
    let mut writer = guard.take().ok_or(Error::UploadUnknown)?;
    let name = session.repository.clone();
    // The closing request mostly has no body, and then nothing changes that the note says.
    let (writer, noted) = if writer.length() == before {
        (writer, Ok(()))
    } else {
        tokio::task::spawn_blocking(move || {
            let noted = writer.note(&name);
            (writer, noted)
        })
        .await
        .map_err(std::io::Error::other)?
    };
    **guard = Some(writer);
    received?;
    Ok(noted?)
}

/// Checks `Content-Range: first-last` against where the upload stands and `Content-Length`.
fn check_range(headers: &HeaderMap, offset: u64) -> Result<(), Error> {
    let Some(text) = header(headers, CONTENT_RANGE) else { return Ok(()) };
    let invalid = || Error::UploadInvalid(format!("Content-Range must be `first-last`, it is {text:?}"));
    // Some clients write it as RFC 9110 does, `bytes 0-9/*`.
    let plain = text.trim().trim_start_matches("bytes ").split('/').next().unwrap_or_default();
    let (first, last) = plain.split_once('-').ok_or_else(invalid)?;
    let first: u64 = first.parse().map_err(|_| invalid())?;
    let last: u64 = last.parse().map_err(|_| invalid())?;
    if first != offset {
        return Err(Error::RangeInvalid { offset });
    }
    let announced = last.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(invalid)?;
    match content_length(headers) {
        Some(arrived) if arrived != announced => Err(Error::SizeInvalid { announced, arrived }),
        _ => Ok(()),
    }
}

/// Appends a body to the writer: one batch is hashed and written while the next arrives. What comes before the body
/// breaks off is appended.
async fn receive(slot: &mut Option<Writer>, body: &mut Incoming, mut progress: impl FnMut(u64)) -> Result<(), Error> {
    let mut writing: Option<Writing> = None;
    loop {
        let (batch, end) = next_batch(body).await;
        if let Some(task) = writing.take() {
            progress(settle(slot, task).await?);
        }
        if !batch.is_empty() {
            let mut writer = slot.take().ok_or(Error::UploadUnknown)?;
            let task = tokio::task::spawn_blocking(move || {
                let written = batch.iter().try_for_each(|piece| writer.append(piece));
                (writer, written)
            });
            writing = Some(task);
        }
        let Some(end) = end else { continue };
        if let Some(task) = writing.take() {
            progress(settle(slot, task).await?);
        }
        return end;
    }
}

type Writing = JoinHandle<(Writer, std::io::Result<()>)>;

/// Waits for a batch to be written and puts the writer back; returns how much there is now.
async fn settle(slot: &mut Option<Writer>, task: Writing) -> Result<u64, Error> {
    let (writer, written) = task.await.map_err(std::io::Error::other)?;
    let length = writer.length();
    *slot = Some(writer);
    written?;
    Ok(length)
}

/// Pieces of a body up to about [`BATCH`] bytes, and how the body ended if it did.
async fn next_batch(body: &mut Incoming) -> (Vec<Bytes>, Option<Result<(), Error>>) {
    let mut batch = Vec::new();
    let mut size = 0;
    while size < BATCH {
        match next_piece(body).await {
            Ok(Some(piece)) => {
                size += piece.len();
                batch.push(piece);
            }
            Ok(None) => return (batch, Some(Ok(()))),
            Err(error) => return (batch, Some(Err(error))),
        }
    }
    (batch, None)
}
