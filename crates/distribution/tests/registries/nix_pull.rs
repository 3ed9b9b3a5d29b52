//! `builtin:oci-pull` in a real build, with Debian's registry as mirror of docker.io and skopeo as the oracle of hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use build::{Builder, Options, Realise, Wanted};
use distribution::{Client, Digest, OciPull, Reference, Settings};
use image::{Image, Selection};
use nix_formats::derivation::{Derivation, HashModulo, Output};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use store::{LocalStore, Store};

use crate::peer::{self, Peer, settings};

/// A derivation as `dockerTools.pullImage` makes it.
fn pull_image(store: &LocalStore, image_name: &str, digest: &str, hash: Option<&str>) -> (StorePath, StorePath) {
    let mut env = BTreeMap::from([
        ("name", "image"),
        ("builder", "builtin:oci-pull"),
        ("system", "x86_64-linux"),
        ("imageName", image_name),
        ("imageDigest", digest),
        ("os", "linux"),
        ("arch", "amd64"),
        ("finalImageName", image_name),
        ("finalImageTag", "3"),
        ("tlsVerify", "1"),
    ]);
    env.extend(hash.map(|hash| ("hash", hash)));
    let mut derivation = Derivation {
        name: "image".to_owned(),
        outputs: BTreeMap::from([("out".to_owned(), Output::Deferred)]),
        input_derivations: BTreeMap::new(),
        input_sources: BTreeSet::new(),
        system: "x86_64-linux".into(),
        builder: "builtin:oci-pull".into(),
        args: Vec::new(),
        env: env.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
    };
    let nothing = |_: &StorePath| -> Result<HashModulo, std::convert::Infallible> { unreachable!("it has no inputs") };
    derivation.fill_output_paths(nothing).unwrap();
    let Output::InputAddressed(out) = &derivation.outputs["out"] else { panic!("no output path") };
    let out = out.clone();
    (store.add_derivation(&derivation).unwrap(), out)
}

struct Place {
    store: Arc<LocalStore>,
    builder: Builder,
    directory: tempfile::TempDir,
}

impl Place {
    fn new(peer: &Peer) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(&directory.path().join("root")).unwrap());
        let mut settings: Settings = settings();
        settings.registries.mirrors.insert("docker.io".into(), vec![format!("http://{}", peer.host)]);
        let builder = Builder::new(Arc::clone(&store), Options::new()).with_builtin(Box::new(OciPull::new(settings)));
        Place { store, builder, directory }
    }

    fn pull(&self, image_name: &str, digest: &str, hash: Option<&str>) -> Result<Image, String> {
        let (derivation, out) = pull_image(&self.store, image_name, digest, hash);
        let built = self.builder.realise(&[Wanted::all(derivation)]);
        built.map_err(|error| {
            assert!(!self.store.is_valid(&out).unwrap() && !self.store.real_path(&out).exists(), "something was kept");
            error.to_string()
        })?;
        let path = self.store.real_path(&out);
        Image::open_path(&path, &path, Selection::default()).map_err(|error| error.to_string())
    }
}

/// Pushes an image to the peer as docker.io's `library/base` and returns its digest.
fn push(peer: &Peer, place: &Path) -> Digest {
    let image = peer::image(&place.join("base"), "base");
    let to: Reference = format!("{}/library/base:3", peer.host).parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pushed = runtime.block_on(async {
        Client::new(settings()).push(&image, &to, &crate::options(place), &store::progress::Silent).await
    });
    pushed.unwrap().digest
}

#[test]
fn a_base_image_is_pulled_by_digest() {
    let Some(peer) = Peer::start(false) else { return };
    let place = Place::new(&peer);
    let digest = push(&peer, place.directory.path());
    let image = place.pull("base", &digest.to_string(), None).unwrap();
    assert_eq!(image.reference().as_deref(), Some("base:3"));
    image.verify().unwrap();
    assert_eq!(peer::digest(&image, &image::LayerCache::new(place.directory.path().join("cache"))), digest);
}

#[test]
fn a_digest_that_cannot_be_had_leaves_nothing() {
    let Some(peer) = Peer::start(false) else { return };
    let place = Place::new(&peer);
    let digest = push(&peer, place.directory.path()).to_string();
    let malformed = place.pull("base", "sha256:12", None).unwrap_err();
    assert!(malformed.contains("imageDigest") && malformed.contains("is not a digest"), "{malformed}");
    let absent = Digest::of(b"absent").to_string();
    let here = format!("{}/library/base", peer.host);
    let missing = place.pull(&here, &absent, None).unwrap_err();
    assert!(missing.contains("has no library/base@sha256:"), "{missing}");
    let image = place.pull(&here, &digest, None).unwrap();
    let layer = image.layers[1].clone();
    let image::Source::File { descriptor, .. } = layer.source() else { panic!("no blob") };
    let file = peer.blob_file(descriptor.digest);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let changed = place.pull("base", &digest, None).unwrap_err();
    assert!(changed.contains("is not what its digest says"), "{changed}");
}

#[test]
fn the_hash_of_nixpkgs_is_checked() {
    let Some(peer) = Peer::start(false) else { return };
    if !peer::is_installed("skopeo") {
        return;
    }
    let place = Place::new(&peer);
    let digest = push(&peer, place.directory.path()).to_string();
    let archive = place.directory.path().join("archive.tar");
    let status = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{}/library/base@{digest}", peer.host))
        .arg(format!("docker-archive:{}:base:3", archive.display()))
        .status()
        .unwrap();
    assert!(status.success());
    let hash = Hash::of(HashAlgo::Sha256, &std::fs::read(&archive).unwrap());
    for text in [hash.to_sri(), hash.to_nix32(), hash.to_hex()] {
        place.pull("base", &digest, Some(&text)).unwrap_or_else(|error| panic!("{error}"));
    }
    let other = Hash::of(HashAlgo::Sha256, b"other").to_sri();
    let error = place.pull("base", &digest, Some(&other)).unwrap_err();
    assert!(error.contains(&other) && error.contains(&hash.to_sri()), "{error}");
}
