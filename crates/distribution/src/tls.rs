//! HTTP clients: TLS by rustls with Mozilla's certificate authorities and those of the settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a registry may say nothing. It may have to read a large blob before it answers.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const MOST_REDIRECTS: usize = 10;

/// How a registry's address may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Its certificate is checked.
    Verified,
    /// Its certificate is not checked.
    Insecure,
    /// It is this machine: no proxy stands between.
    Loopback,
}

/// A client for addresses of one kind.
pub(crate) fn client(trust: Trust, certificates: Option<&Path>) -> Result<reqwest::Client, Error> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Settings(format!("TLS cannot be set up: {error}")))?;
    let config = match trust {
        Trust::Insecure => versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
        Trust::Verified | Trust::Loopback => {
            versions.with_root_certificates(roots(certificates)?).with_no_client_auth()
        }
    };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::custom(redirect))
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")));
    if trust == Trust::Loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::Settings(format!("HTTP cannot be set up: {}", chain(&error))))
}

/// Follows redirects, but never from TLS to plain text. `reqwest` itself drops credentials when the host changes.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if from_tls && attempt.url().scheme() != "https" {
        attempt.error("a redirect leads from TLS to plain text")
    } else {
        attempt.follow()
    }
}

fn roots(certificates: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(path) = certificates {
        let wrong = |reason: String| Error::Settings(format!("the certificates in {}: {reason}", path.display()));
        let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add_parsable_certificates([certificate]);
        }
    }
    Ok(roots)
}

/// Takes any certificate, for registries that the settings call insecure. The handshake itself is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
