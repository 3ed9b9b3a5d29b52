//! Reading and deleting blobs.

use std::sync::Arc;

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RANGE,
};
use hyper::{HeaderMap, StatusCode};

use super::answer::{self, Reply};
use super::body::{Answer, BlobStream};
use super::request::header;
use super::{App, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;

/// Blobs up to this size are read in one go.
const SMALL: u64 = 256 * 1024;

/// `GET` of a blob or a range of it.
pub async fn get(
    app: &Arc<App>,
    repository: RepositoryName,
    digest: Digest,
    headers: &HeaderMap,
) -> Result<Reply, Error> {
    let range = header(headers, RANGE).map(str::to_owned);
    if is_known(headers, &digest) {
        let owner = Arc::clone(app);
        let found = digest.clone();
        blocking(move || owner.repositories.blob_size(&repository, &found)).await?;
        return Ok(describe(answer::empty(StatusCode::NOT_MODIFIED), &digest));
    }
    let app = Arc::clone(app);
    blocking(move || {
        let mut reader = app.repositories.open_blob(&repository, &digest)?;
        let size = reader.size();
        let (status, start, end) = match range.as_deref().map_or(Ranged::Whole, |range| Ranged::parse(range, size)) {
            Ranged::Whole => (StatusCode::OK, 0, size),
            Ranged::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
            Ranged::Outside => {
                let mut reply = answer::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                answer::set(&mut reply, CONTENT_RANGE, &format!("bytes */{size}"));
                return Ok(reply);
            }
        };
        let body = if end - start <= SMALL {
            Answer::Full(reader.read_at(start, (end - start) as usize)?)
        } else {
            Answer::Blob(BlobStream::new(reader, start, end))
        };
        let mut reply = describe(answer::with_body(status, body), &digest);
        answer::set(&mut reply, CONTENT_LENGTH, &(end - start).to_string());
        if status == StatusCode::PARTIAL_CONTENT {
            answer::set(&mut reply, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
        }
        Ok(reply)
    })
    .await
}

/// `HEAD` of a blob.
pub async fn head(app: &Arc<App>, repository: RepositoryName, digest: Digest) -> Result<Reply, Error> {
    let app = Arc::clone(app);
    blocking(move || {
        let size = app.repositories.blob_size(&repository, &digest)?;
        let mut reply = describe(answer::empty(StatusCode::OK), &digest);
        answer::set(&mut reply, CONTENT_LENGTH, &size.to_string());
        Ok(reply)
    })
    .await
}

/// `DELETE` of a blob from one repository.
pub async fn delete(app: &Arc<App>, repository: RepositoryName, digest: Digest) -> Result<Reply, Error> {
    app.require_deletion()?;
    let app = Arc::clone(app);
    blocking(move || app.repositories.unlink_blob(&repository, &digest)).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

fn describe(mut reply: Reply, digest: &Digest) -> Reply {
    answer::set_digest(&mut reply, digest);
    answer::set(&mut reply, CONTENT_TYPE, "application/octet-stream");
    answer::set(&mut reply, ACCEPT_RANGES, "bytes");
    answer::set(&mut reply, ETAG, &format!("\"{digest}\""));
    answer::set(&mut reply, CACHE_CONTROL, "max-age=31536000, immutable");
    reply
}

/// Whether the client says that it has this content.
pub fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    header(headers, IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == digest.as_str())
    })
}

/// What a `Range` header asks for, of RFC 9110. A form that is not understood is ignored, as that allows.
#[derive(Debug, PartialEq, Eq)]
enum Ranged {
    Whole,
    /// From the first byte to before the second.
    Part(u64, u64),
    Outside,
}

impl Ranged {
    fn parse(text: &str, size: u64) -> Ranged {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
            return Ranged::Whole;
        };
        let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(start), Ok(last)) if last >= start => (start, last.saturating_add(1).min(size)),
            (Ok(start), Err(_)) if last.is_empty() => (start, size),
            (Err(_), Ok(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
            _ => return Ranged::Whole,
        };
        if start < end { Ranged::Part(start, end) } else { Ranged::Outside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_rfc_9110() {
        let parse = |text| Ranged::parse(text, 10);
        assert_eq!(parse("bytes=0-3"), Ranged::Part(0, 4));
        assert_eq!(parse("bytes=4-"), Ranged::Part(4, 10));
        assert_eq!(parse("bytes=-3"), Ranged::Part(7, 10));
        assert_eq!(parse("bytes=-30"), Ranged::Part(0, 10));
        assert_eq!(parse("bytes=5-18446744073709551615"), Ranged::Part(5, 10));
        assert_eq!(parse("bytes=10-"), Ranged::Outside);
        assert_eq!(parse("bytes=-0"), Ranged::Outside);
        for ignored in ["bytes=3-1", "bytes=0-1,3-4", "lines=0-1", "bytes=x-1", "0-1"] {
            assert_eq!(parse(ignored), Ranged::Whole, "{ignored}");
        }
    }
}
