//! Mozilla's certificate authorities as the files that programs look for.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Writes `prefix/etc/ssl/certs/ca-bundle.crt` (PEM) and `ca-certificates.crt`, Debian's name for it, as a link to it.
///
/// The certificates are those of the `webpki-root-certs` crate, sorted by their bytes: one version of the crate gives
/// always the same file.
pub fn write_bundle(prefix: &Path) -> io::Result<()> {
    let dir = prefix.join("etc/ssl/certs");
    fs::create_dir_all(&dir)?;
    let mut certificates: Vec<&[u8]> =
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| certificate.as_ref()).collect();
    certificates.sort_unstable();
    let mut bundle = io::BufWriter::new(fs::File::create_new(dir.join("ca-bundle.crt"))?);
    for certificate in certificates {
        write_pem(&mut bundle, certificate)?;
    }
    bundle.flush()?;
    std::os::unix::fs::symlink("ca-bundle.crt", dir.join("ca-certificates.crt"))
}

/// One certificate in the form of RFC 7468: base64 in lines of 64 characters between its two marks.
fn write_pem(out: &mut impl Write, der: &[u8]) -> io::Result<()> {
    out.write_all(b"-----BEGIN CERTIFICATE-----\n")?;
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    out.write_all(b"-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_every_root_once_and_is_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        write_bundle(&dir.path().join("a")).unwrap();
        write_bundle(&dir.path().join("b")).unwrap();
        let a = fs::read_to_string(dir.path().join("a/etc/ssl/certs/ca-bundle.crt")).unwrap();
        let b = fs::read_to_string(dir.path().join("b/etc/ssl/certs/ca-certificates.crt")).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.matches("-----BEGIN").count(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(a.lines().all(|line| line.len() <= 64));
    }
}
