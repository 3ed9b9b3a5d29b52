//! What tells a server who asks.

use std::fmt;

use reqwest::blocking::RequestBuilder;

/// A header that only one host may see.
#[derive(Clone)]
pub(crate) struct Secret {
    pub name: &'static str,
    pub value: String,
}

impl Secret {
    /// A bearer token.
    pub fn bearer(token: &str) -> Self {
        Self { name: "authorization", value: format!("Bearer {token}") }
    }
}

/// Nothing of it is shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

/// How a request says who asks.
pub(super) enum Identity<'a> {
    Nobody,
    Headers(&'a [Secret]),
    Password { user: String, password: String },
}

impl Identity<'_> {
    pub fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Identity::Nobody => request,
            Identity::Password { user, password } => request.basic_auth(user, Some(password)),
            Identity::Headers(secrets) => secrets.iter().fold(request, |request, secret| {
                let value = reqwest::header::HeaderValue::try_from(&secret.value).map(|mut value| {
                    value.set_sensitive(true);
                    value
                });
                match value {
                    Ok(value) => request.header(secret.name, value),
                    // A token with a line break in it is none; the server will say so.
                    Err(_) => request,
                }
            }),
        }
    }
}
