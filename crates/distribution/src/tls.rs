//! HTTP clients: TLS by rustls with Mozilla's certificate authorities and those of the settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, chain};
use crate::settings::Settings;

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

/// Files that say whom to trust, and who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Authorities beside Mozilla's.
    pub authorities: Vec<PathBuf>,
    /// Our certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    /// What the directories have for a host.
    pub fn of_host(settings: &Settings, host: &str) -> Result<Certificates, Error> {
        let mut certificates =
            Certificates { authorities: settings.certificate_file.iter().cloned().collect(), identity: None };
        for directory in settings.certificate_directories.iter().map(|directory| directory.join(host)) {
            // Most hosts have none.
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => certificates.authorities.push(file),
                    Some("cert") => {
                        let key = file.with_extension("key");
                        if !key.is_file() {
                            let (file, key) = (file.display(), key.display());
                            return Err(Error::Settings(format!("{file} is there, and its key {key} is not")));
                        }
                        certificates.identity = certificates.identity.or(Some((file, key)));
                    }
                    _ => {}
                }
            }
        }
        Ok(certificates)
    }

    /// What the directory has that `DOCKER_CERT_PATH` names.
    pub fn of_docker(directory: &Path) -> Certificates {
        let [authority, certificate, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name));
        Certificates {
            authorities: Some(authority).filter(|file| file.is_file()).into_iter().collect(),
            identity: certificate.is_file().then_some((certificate, key)),
        }
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        for path in &self.authorities {
            roots.add_parsable_certificates(certificates(path)?);
        }
        Ok(roots)
    }

    fn with_identity(&self, config: ConfigBuilder<ClientConfig, WantsClientCert>) -> Result<ClientConfig, Error> {
        let Some((certificate, key)) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let wrong = |error: &dyn std::fmt::Display| Error::Settings(format!("the key in {}: {error}", key.display()));
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&error))?;
        config.with_client_auth_cert(certificates(certificate)?, secret).map_err(|error| wrong(&error))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|error: rustls::pki_types::pem::Error| {
        Error::Settings(format!("the certificates in {}: {error}", path.display()))
    })
}

/// A client for a socket on this machine.
pub(crate) fn local(socket: &Path, timeout: Duration) -> Result<reqwest::Client, Error> {
    let config = config(Trust::Loopback, &Certificates::default())?;
    let builder = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().unix_socket(socket);
    built(builder.connect_timeout(timeout))
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    builder.build().map_err(|error| Error::Settings(format!("HTTP cannot be set up: {}", chain(&error))))
}

fn config(trust: Trust, certificates: &Certificates) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Settings(format!("TLS cannot be set up: {error}")))?;
    certificates.with_identity(match trust {
        Trust::Insecure => versions.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        Trust::Verified | Trust::Loopback => versions.with_root_certificates(certificates.roots()?),
    })
}

/// A client for addresses of one kind.
pub(crate) fn client(trust: Trust, certificates: &Certificates) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config(trust, certificates)?)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::custom(redirect))
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")));
    if trust == Trust::Loopback {
        builder = builder.no_proxy();
    }
    built(builder)
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
