//! Requests over HTTP, with TLS by rustls and Mozilla's certificate authorities.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::{FetchError, Fetcher};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may say nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait before each further attempt at a server that is busy or away.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];

impl Fetcher {
    /// Asks for what is at `url`. A server that is busy or away is asked again; an answer other than success is an
    /// error.
    pub(crate) fn get(&self, url: &str, headers: &[(&'static str, String)]) -> Result<Response, FetchError> {
        let response = self.get_if_there(url, headers)?;
        response
            .ok_or_else(|| FetchError::Download { url: url.to_owned(), message: "it is not there (404)".to_owned() })
    }

    /// As [`Fetcher::get`], but `None` if the server says that there is no such thing.
    pub(crate) fn get_if_there(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Option<Response>, FetchError> {
        if self.settings.offline {
            return Err(FetchError::Offline { url: url.to_owned() });
        }
        let client = self.client()?;
        let mut waits = WAITS.iter();
        loop {
            let mut request = client.get(url);
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let (message, may_pass) = match request.send() {
                Ok(response) if response.status().is_success() => return Ok(Some(response)),
                Ok(response) if response.status() == StatusCode::NOT_FOUND => return Ok(None),
                Ok(response) => (format!("the server answers {}", response.status()), is_passing(response.status())),
                Err(error) => (reasons(&error), error.is_connect() || error.is_timeout()),
            };
            match waits.next().filter(|_| may_pass) {
                Some(wait) => sleep(*wait),
                None => return Err(FetchError::Download { url: url.to_owned(), message }),
            }
        }
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = make_client().map_err(|message| FetchError::Download { url: "https:".to_owned(), message })?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn make_client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        // For a blocking client this bounds each read, not the whole download.
        .timeout(READ_TIMEOUT)
        .redirect(Policy::limited(10))
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("HTTP cannot be set up: {}", reasons(&error)))
}

fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// An error with what caused it; the outermost alone says little.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
