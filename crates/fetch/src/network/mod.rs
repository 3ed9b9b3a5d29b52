//! Requests over HTTP, with TLS by rustls and Mozilla's certificate authorities.
//!
//! A server that is busy or away is asked again, after the time that it says if it says one; a body that breaks off is
//! taken up where it did. Redirects are followed here rather than by the client, so that what is secret never reaches
//! another host than the one that it is for.

mod body;
mod credentials;
mod many;
mod netrc;
mod payload;
mod request;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use many::Crowd;

pub(crate) use body::Body;
pub(crate) use credentials::{Secret, basic_header};
pub use netrc::Netrc;
pub(crate) use payload::Payload;
pub(crate) use request::{Place, Question, refused, shown};

const USER_AGENT: &str = concat!("wharf/", env!("CARGO_PKG_VERSION"));

/// How servers are spoken to.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Send nothing.
    pub offline: bool,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a server may say nothing.
    pub stall_timeout: Duration,
    /// How often a server that is busy or away is asked in all.
    pub attempts: u32,
    /// Who the user is at which host.
    pub netrc: Netrc,
    /// Certificate authorities (PEM) to trust beside Mozilla's.
    pub certificates: Option<PathBuf>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            offline: false,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            attempts: 4,
            netrc: Netrc::default(),
            certificates: None,
        }
    }
}

/// Speaks to servers; one for the whole process, so that connections are used again.
#[derive(Default)]
pub struct Network {
    pub(crate) settings: NetworkSettings,
    /// Made when it is first needed.
    client: OnceLock<Client>,
    crowd: Mutex<Option<Crowd>>,
}

impl Network {
    /// With these settings. Nothing is sent yet.
    pub fn new(settings: NetworkSettings) -> Arc<Self> {
        Arc::new(Self { settings, client: OnceLock::new(), crowd: Mutex::default() })
    }

    fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = make_client(&self.settings)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// What asks for many things at once; none if it cannot be set up.
    fn crowd(&self) -> MutexGuard<'_, Option<Crowd>> {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if crowd.is_none() {
            *crowd = make_crowd(&self.settings);
        }
        crowd
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn make_client(settings: &NetworkSettings) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls(settings)?)
        .connect_timeout(settings.connect_timeout)
        // For a blocking client this bounds each read, not the whole download.
        .timeout(settings.stall_timeout)
        .redirect(Policy::none())
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| format!("HTTP cannot be set up: {}", reasons(&error)))
}

fn make_crowd(settings: &NetworkSettings) -> Option<Crowd> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(settings).ok()?)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.stall_timeout)
        .redirect(Policy::none())
        .user_agent(USER_AGENT);
    Crowd::new(client.build().ok()?)
}

fn tls(settings: &NetworkSettings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(file) = &settings.certificates {
        let wrong = |error: &dyn fmt::Display| format!("cannot read certificates from '{}': {error}", file.display());
        let own = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
        roots.add_parsable_certificates(own.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?);
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth())
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
