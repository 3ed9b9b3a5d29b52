//! Addresses: which path means what.

use hyper::Method;

use crate::auth::Access;
use crate::digest::Digest;
use crate::error::Error;
use crate::name::{Reference, RepositoryName};
use crate::storage::UploadId;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<tag-or-digest>`
    Manifest(RepositoryName, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, UploadId),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
    /// `/token`
    Token,
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
    /// `/`
    Status,
}

impl Route {
    /// Reads a path as it came, percent-encoded.
    pub fn parse(path: &str) -> Result<Route, Error> {
        let path = decode(path).ok_or(Error::NotFound)?;
        let Some(rest) = path.strip_prefix("/v2/") else {
            return match path.as_str() {
                "/v2" => Ok(Route::Base),
                "/token" => Ok(Route::Token),
                "/healthz" => Ok(Route::Health),
                "/metrics" => Ok(Route::Metrics),
                "/" => Ok(Route::Status),
                _ => Err(Error::NotFound),
            };
        };
        match rest {
            "" => return Ok(Route::Base),
            "_catalog" => return Ok(Route::Catalog),
            _ => {}
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Route::Uploads(name.parse()?));
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Route::Tags(name.parse()?));
        }
        let (rest, last) = rest.rsplit_once('/').ok_or(Error::NotFound)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            let name = name.parse()?;
            return Ok(Route::Upload(name, UploadId::parse(last).ok_or(Error::UploadUnknown)?));
        }
        let (name, kind) = rest.rsplit_once('/').ok_or(Error::NotFound)?;
        match kind {
            "manifests" => Ok(Route::Manifest(name.parse()?, last.parse()?)),
            "blobs" => Ok(Route::Blob(name.parse()?, last.parse()?)),
            "referrers" => Ok(Route::Referrers(name.parse()?, last.parse()?)),
            _ => Err(Error::NotFound),
        }
    }

    /// What a request to this address wants.
    pub fn access(&self, method: &Method) -> Access<'_> {
        match self {
            Route::Catalog | Route::Status | Route::Metrics => Access::Catalog,
            Route::Base | Route::Token | Route::Health => Access::Any,
            Route::Uploads(name) | Route::Upload(name, _) => Access::Push(name),
            Route::Tags(name) | Route::Referrers(name, _) | Route::Manifest(name, _) | Route::Blob(name, _) => {
                match *method {
                    Method::GET | Method::HEAD => Access::Pull(name),
                    Method::DELETE => Access::Delete(name),
                    _ => Access::Push(name),
                }
            }
        }
    }

    /// Whether a request without any account may come through, whatever is configured.
    pub fn is_public(&self) -> bool {
        matches!(self, Route::Token | Route::Health)
    }
}

/// Resolves percent-encoding; `None` if it is broken, is no UTF-8, or hides a control character.
fn decode(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_the_end() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let name = || "a/blobs/b".parse().unwrap();
        let parse = |path: &str| Route::parse(path).unwrap();
        assert_eq!(parse("/v2/"), Route::Base);
        assert_eq!(parse("/v2/a/blobs/b/tags/list"), Route::Tags(name()));
        assert_eq!(parse("/v2/a/blobs/b/blobs/uploads/"), Route::Uploads(name()));
        assert_eq!(parse(&format!("/v2/a/blobs/b/blobs/{digest}")), Route::Blob(name(), digest.parse().unwrap()));
        let escaped = digest.replace(':', "%3A");
        assert_eq!(parse(&format!("/v2/a%2Fblobs/b/blobs/{escaped}")), Route::Blob(name(), digest.parse().unwrap()));
        assert_eq!(parse("/v2/a/manifests/v1"), Route::Manifest("a".parse().unwrap(), "v1".parse().unwrap()));
    }

    #[test]
    fn what_leaves_the_storage_is_no_address() {
        for path in [
            "/v2/../manifests/x",
            "/v2/a/../b/manifests/x",
            "/v2/%2e%2e/manifests/x",
            "/v2/a%00/manifests/x",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fx",
            "/v2/a/blobs/uploads/../../../x",
            "/v2/a/blobs/sha256:..",
            "/v2/a/blobs/uploads/00000000-0000-0000-0000-00000000000%2f",
            "/v2//manifests/x",
            "/v2/%zz/manifests/x",
            "/v2/a/blobs/sha256:AAAA",
            "/etc/passwd",
            "/v2/manifests/x",
            "/v2/a",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
        let long = format!("/v2/{}/manifests/x", "a".repeat(300));
        assert!(Route::parse(&long).is_err());
    }
}
