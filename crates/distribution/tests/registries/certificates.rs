//! A registry with TLS and certificates of its own making, which also wants to know who the client is.

use std::path::Path;
use std::process::Command;

use distribution::{Client, Error, Settings};

use crate::peer::{self, Peer, settings};

/// An authority, and what it signed for the server and for a client.
fn make(place: &Path) -> bool {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt \
            -addext basicConstraints=critical,CA:TRUE
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.crt
        done";
    Command::new("sh").args(["-c", script]).current_dir(place).output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_and_our_own_certificate_come_from_the_directories_of_docker_and_podman() {
    let place = tempfile::tempdir().unwrap();
    if !peer::is_installed("openssl") || !make(place.path()) {
        return;
    }
    let at = |name: &str| place.path().join(name).display().to_string();
    let (certificate, key, authority) = (at("server.crt"), at("server.key"), at("ca.crt"));
    let tls = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n    clientcas:\n      - {authority}\n");
    let Some(peer) = Peer::with_auth(&tls) else { return };
    let reference = format!("{}/a:1", peer.host).parse().unwrap();
    let directory = place.path().join("certs.d");
    let own = directory.join(&peer.host);
    std::fs::create_dir_all(&own).unwrap();
    let client = || Client::new(Settings { certificate_directories: vec![directory.clone()], ..settings() });
    let copy = |from: &str, to: &str| std::fs::copy(place.path().join(from), own.join(to)).unwrap();

    assert!(matches!(client().resolve(&reference).await, Err(Error::Unreachable { .. })));
    copy("ca.crt", "ca.crt");
    // The authority is known now, and the server wants a certificate.
    assert!(matches!(client().resolve(&reference).await, Err(Error::Unreachable { .. })));
    copy("client.crt", "client.cert");
    let error = client().resolve(&reference).await.unwrap_err().to_string();
    assert!(error.contains("client.cert is there, and its key"), "{error}");
    copy("client.key", "client.key");
    assert!(matches!(client().resolve(&reference).await, Err(Error::NotFound { .. })));
    let image = peer::image(&place.path().join("one"), "one");
    let options = crate::options(place.path());
    crate::push(&client(), &image, &format!("{}/a:1", peer.host), &options).await.unwrap();
    assert!(client().resolve(&reference).await.is_ok());
}
