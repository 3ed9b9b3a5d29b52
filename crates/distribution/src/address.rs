//! The addresses of a registry, and how each may be spoken to.

use url::{Host, Url};

use crate::error::Error;
use crate::settings::Settings;
use crate::tls::Trust;

/// An address to try for a host, most preferred first.
pub(crate) fn addresses(host: &str, insecure: bool) -> Vec<(String, Trust)> {
    let api_host = if host == "docker.io" { "registry-1.docker.io" } else { host };
    if is_loopback(api_host) {
        return vec![(format!("http://{api_host}"), Trust::Loopback), (format!("https://{api_host}"), Trust::Loopback)];
    }
    if insecure {
        return vec![(format!("https://{api_host}"), Trust::Insecure), (format!("http://{api_host}"), Trust::Insecure)];
    }
    vec![(format!("https://{api_host}"), Trust::Verified)]
}

/// How a mirror's address, which is given with its scheme, may be spoken to.
pub(crate) fn mirror_trust(address: &str, settings: &Settings) -> Result<Trust, Error> {
    let wrong = || Error::Settings(format!("the mirror `{address}` is not an http or https address"));
    let url = Url::parse(address).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let host = host_of(&url);
    Ok(if is_loopback(&host) {
        Trust::Loopback
    } else if url.scheme() == "http" || settings.registries.insecure.contains(&host) {
        Trust::Insecure
    } else {
        Trust::Verified
    })
}

pub(crate) fn is_loopback(host: &str) -> bool {
    match Url::parse(&format!("http://{host}/")).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts() {
        let first = |host| addresses(host, false)[0].clone();
        assert_eq!(first("docker.io"), ("https://registry-1.docker.io".into(), Trust::Verified));
        assert_eq!(first("localhost:5000"), ("http://localhost:5000".into(), Trust::Loopback));
        assert_eq!(first("127.0.0.1:5000"), ("http://127.0.0.1:5000".into(), Trust::Loopback));
        assert_eq!(first("[::1]:5000"), ("http://[::1]:5000".into(), Trust::Loopback));
        assert_eq!(addresses("old.example.org", true).len(), 2);
        assert_eq!(addresses("quay.io", false).len(), 1);
        let settings = Settings::default();
        assert_eq!(mirror_trust("http://mirror.example.org", &settings).unwrap(), Trust::Insecure);
        assert!(mirror_trust("mirror.example.org", &settings).is_err());
    }
}
