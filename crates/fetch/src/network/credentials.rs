//! What tells a server who asks.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// A header that only one host may see.
#[derive(Clone)]
pub(crate) struct Secret {
    pub name: Cow<'static, str>,
    pub value: String,
}

impl Secret {
    /// A bearer token.
    pub fn bearer(token: &str) -> Self {
        Self { name: "authorization".into(), value: format!("Bearer {token}") }
    }
}

/// Nothing of it is shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

/// The header by which a program that is not given a password in an address says who asks.
pub(crate) fn basic_header(user: &str, password: &str) -> String {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let both = format!("{}:{}", decoded(user), decoded(password));
    format!("Authorization: Basic {}", BASE64.encode(both))
}

/// How a request says who asks.
pub(super) enum Identity<'a> {
    Nobody,
    Headers(&'a [Secret]),
    Password { user: String, password: String },
}

impl Identity<'_> {
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            // A token with a line break in it is none; the server will say so.
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        match self {
            Identity::Nobody => {}
            Identity::Password { user, password } => {
                add("authorization", &format!("Basic {}", BASE64.encode(format!("{user}:{password}"))));
            }
            Identity::Headers(secrets) => secrets.iter().for_each(|secret| add(&secret.name, &secret.value)),
        }
        headers
    }
}
