//! Reading requests: query parameters, headers, bodies that arrive slowly or break off.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderName};

use crate::error::Error;

/// How long a client may send nothing in the middle of a body.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// The parameters after `?`, in order, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: Option<&str>) -> Query {
        Query(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every value of `key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// A header as text.
pub fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `Content-Length`, if there is one.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, CONTENT_LENGTH)?.parse().ok()
}

/// The next piece of a body; `None` at its end.
pub async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    loop {
        let next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let frame = match tokio::time::timeout(BODY_IDLE, next).await {
            Err(_) => return Err(Error::BrokenBody("nothing came for a minute".into())),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Error::BrokenBody(error.to_string())),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
}

/// A whole body of at most `limit` bytes; `None` if it is longer.
pub async fn collect(body: &mut Incoming, limit: usize) -> Result<Option<Bytes>, Error> {
    let mut whole = BytesMut::new();
    while let Some(piece) = next_piece(body).await? {
        if whole.len() + piece.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole.freeze()))
}
