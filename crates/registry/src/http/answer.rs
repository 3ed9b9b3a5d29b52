//! Building answers: headers, the specification's JSON errors, challenges.

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LINK, LOCATION, RANGE, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Answer;
use crate::digest::Digest;
use crate::error::Error;
use crate::name::RepositoryName;

/// An answer to a request.
pub type Reply = Response<Answer>;

/// The digest of what is sent or was stored.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The subject that was registered.
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The tags that were set by parameter.
pub const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The filters that were applied to a list of referrers.
pub const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The upload's name, for clients of the time before the specification.
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    with_body(status, Answer::Empty)
}

/// An answer with any body.
pub fn with_body(status: StatusCode, body: Answer) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}

/// An answer with bytes of a type.
pub fn typed(status: StatusCode, content_type: &str, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = with_body(status, Answer::Full(bytes.into()));
    set(&mut reply, CONTENT_TYPE, content_type);
    reply
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    typed(status, "application/json", value.to_string())
}

/// Sets a header. A value that HTTP cannot carry is left out; all of ours can be carried.
pub fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// Sets the digest header.
pub fn set_digest(reply: &mut Reply, digest: &Digest) {
    set(reply, CONTENT_DIGEST, digest.as_str());
}

/// `201 Created` at `location`.
pub fn created(location: &str, digest: &Digest) -> Reply {
    let mut reply = empty(StatusCode::CREATED);
    set(&mut reply, LOCATION, location);
    set(&mut reply, CONTENT_LENGTH, "0");
    set_digest(&mut reply, digest);
    reply
}

/// How far an upload is. The location is a path, which holds behind any proxy.
pub fn upload_progress(status: StatusCode, repository: &RepositoryName, id: &str, offset: u64) -> Reply {
    let mut reply = empty(status);
    set_upload_progress(&mut reply, repository, id, offset);
    reply
}

/// Adds to any answer how far an upload is.
pub fn set_upload_progress(reply: &mut Reply, repository: &RepositoryName, id: &str, offset: u64) {
    set(reply, LOCATION, &format!("/v2/{repository}/blobs/uploads/{id}"));
    set(reply, RANGE, &format!("0-{}", offset.saturating_sub(1)));
    set(reply, UPLOAD_UUID, id);
}

/// Points to the next page.
pub fn set_next_page(reply: &mut Reply, path_and_query: &str) {
    set(reply, LINK, &format!("<{path_and_query}>; rel=\"next\""));
}

/// The specification's JSON for an error.
pub fn error(error: &Error) -> Reply {
    let mut entry = json!({ "code": error.code(), "message": error.public_message() });
    match error {
        Error::BlobUnknown(digest) | Error::ManifestBlobUnknown(digest) => {
            entry["detail"] = json!({ "digest": digest })
        }
        Error::NameUnknown(name) => entry["detail"] = json!({ "name": name }),
        _ => {}
    }
    json(error.status(), &json!({ "errors": [entry] }))
}

/// Adds what a client must do to be let in.
pub fn set_challenge(reply: &mut Reply, realm: &str, service: &str, scope: Option<&str>) {
    let scope = scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
    set(reply, WWW_AUTHENTICATE, &format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}"));
}
