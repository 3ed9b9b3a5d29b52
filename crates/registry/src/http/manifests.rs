//! Reading, storing and deleting manifests.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use hyper::{HeaderMap, StatusCode};

use super::answer::{self, Reply};
use super::body::Answer;
use super::request::{Query, collect, content_length, header};
use super::{App, Caller, blobs, blocking};
use crate::config::Action;
use crate::error::Error;
use crate::manifest::SIZE_LIMIT;
use crate::name::{InvalidName, Reference, RepositoryName, Tag};
use crate::webhooks::Target;

/// How many tags one push may set by parameter.
const MOST_TAGS: usize = 64;

/// `GET` or, without the body, `HEAD`.
pub async fn get(
    app: &Arc<App>,
    caller: &Caller,
    repository: RepositoryName,
    reference: Reference,
    headers: &HeaderMap,
    body: bool,
) -> Result<Reply, Error> {
    let (owner, name, wanted) = (Arc::clone(app), repository.clone(), reference.clone());
    let stored = blocking(move || owner.repositories.manifest(&name, &wanted)).await?;
    if !accepts(headers, &stored.media_type) {
        return Err(Error::ManifestUnknown(format!(
            "{reference} of a type that the request accepts; it is {}",
            stored.media_type
        )));
    }
    if blobs::is_known(headers, &stored.digest) {
        let mut reply = answer::empty(StatusCode::NOT_MODIFIED);
        answer::set_digest(&mut reply, &stored.digest);
        return Ok(reply);
    }
    if body {
        let target = Target::manifest(&repository, &stored.digest, &stored.media_type, stored.bytes.len(), &reference);
        app.notify(Action::Pull, caller, target).await?;
    }
    let length = stored.bytes.len().to_string();
    let mut reply = answer::with_body(StatusCode::OK, if body { Answer::Full(stored.bytes) } else { Answer::Empty });
    answer::set(&mut reply, CONTENT_TYPE, &stored.media_type);
    answer::set(&mut reply, CONTENT_LENGTH, &length);
    answer::set(&mut reply, ETAG, &format!("\"{}\"", stored.digest));
    answer::set_digest(&mut reply, &stored.digest);
    Ok(reply)
}

/// Whether the request takes this media type. All `Accept` lines count; a request without any takes everything.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut ranges =
        headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let mut any = false;
    let found = ranges.any(|range| {
        any = true;
        let range = range.split(';').next().unwrap_or_default().trim();
        // JSON is what every manifest is.
        range == media_type || matches!(range, "*/*" | "application/*" | "application/json")
    });
    found || !any
}

/// `PUT`: stores a manifest under a digest or tag, and under the tags in the query.
pub async fn put(
    app: &Arc<App>,
    caller: &Caller,
    repository: RepositoryName,
    reference: Reference,
    query: &Query,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Reply, Error> {
    let too_large = || Error::ManifestTooLarge { limit: SIZE_LIMIT };
    if content_length(headers).is_some_and(|length| length > SIZE_LIMIT as u64) {
        return Err(too_large());
    }
    let tags: Vec<Tag> = query.all("tag").map(str::parse).collect::<Result<_, InvalidName>>()?;
    if tags.len() > MOST_TAGS {
        return Err(Error::ManifestInvalid(format!("a push may set at most {MOST_TAGS} tags")));
    }
    let bytes = collect(&mut body, SIZE_LIMIT).await?.ok_or_else(too_large)?;
    let content_type = header(headers, CONTENT_TYPE).map(str::to_owned);
    let size = bytes.len();
    let (owner, name, wanted, more) = (Arc::clone(app), repository.clone(), reference.clone(), tags.clone());
    let pushed =
        blocking(move || owner.repositories.put_manifest(&name, &wanted, &more, content_type.as_deref(), &bytes))
            .await?;
    let target = Target::manifest(&repository, &pushed.digest, &pushed.media_type, size, &reference);
    app.notify(Action::Push, caller, target.clone()).await?;
    for tag in &tags {
        app.notify(Action::Push, caller, target.clone().with_tag(tag)).await?;
    }
    let mut reply = answer::created(&format!("/v2/{repository}/manifests/{}", pushed.digest), &pushed.digest);
    if let Some(subject) = &pushed.subject {
        answer::set(&mut reply, answer::OCI_SUBJECT, subject.as_str());
    }
    if !tags.is_empty() {
        let list: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        answer::set(&mut reply, answer::OCI_TAG, &list.join(", "));
    }
    Ok(reply)
}

/// `DELETE` of a tag, or of a manifest with its tags.
pub async fn delete(
    app: &Arc<App>,
    caller: &Caller,
    repository: RepositoryName,
    reference: Reference,
) -> Result<Reply, Error> {
    app.require_deletion()?;
    let (owner, name, wanted) = (Arc::clone(app), repository.clone(), reference.clone());
    blocking(move || owner.repositories.delete_manifest(&name, &wanted)).await?;
    app.notify(Action::Delete, caller, Target::deleted(&repository, &reference)).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(lines: &[&str], media_type: &str) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        accepts(&headers, media_type)
    }

    #[test]
    fn every_accept_line_counts() {
        assert!(accepted(&[], "a/b"));
        assert!(accepted(&["x/y, z/z;q=0.5", "a/b"], "a/b"));
        assert!(accepted(&["x/y", "*/*"], "a/b"));
        assert!(!accepted(&["x/y", "z/z"], "a/b"));
    }
}
