//! Narinfo files and signatures that Nix makes.

use std::path::Path;
use std::process::Command;

use nix_formats::narinfo::NarInfo;
use nix_formats::signature::{PublicKey, SecretKey};

use crate::has_peer;

fn nix(home: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("HOME", home).env_remove("NIX_REMOTE").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn nix_s_narinfo_reads_and_its_signature_verifies() {
    if !has_peer("nix") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, cache, key, file) =
        (dir.path().join("root"), dir.path().join("cache"), dir.path().join("key"), dir.path().join("file"));
    std::fs::write(&file, "content").unwrap();
    let features = ["--extra-experimental-features", "nix-command"];
    let secret = nix(dir.path(), "nix", &[&features[..], &["key", "generate-secret", "--key-name", "test-1"]].concat());
    std::fs::write(&key, &secret).unwrap();
    let root = root.to_str().unwrap();
    let path = nix(dir.path(), "nix-store", &["--store", root, "--add", file.to_str().unwrap()]);
    let to = format!("file://{}?secret-key={}", cache.display(), key.display());
    nix(dir.path(), "nix", &[&features[..], &["copy", "--store", root, "--to", &to, &path]].concat());

    let hash_part = &path["/nix/store/".len()..][..32];
    let text = std::fs::read_to_string(cache.join(format!("{hash_part}.narinfo"))).unwrap();
    let info = NarInfo::parse(&text).unwrap();
    assert_eq!(info.to_string(), text);
    let secret = SecretKey::parse(&secret).unwrap();
    assert!(info.is_signed_by(&[secret.public_key()]));
    assert!(info.signatures.contains(&secret.sign(info.fingerprint().as_bytes())));
    let public = PublicKey::parse("test-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=").unwrap();
    assert!(!info.is_signed_by(&[public]));
}
