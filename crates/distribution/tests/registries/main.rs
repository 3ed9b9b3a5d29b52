//! The client against real registries, and against ones that misbehave.

mod certificates;
mod conventions;
mod exchange;
mod faults;
mod nix_pull;
mod peer;
mod places;
mod rude;
mod token_auth;

use std::collections::BTreeMap;

use distribution::{
    Client, Copied, CopyOptions, Credential, Error, Place, Platform, PushOptions, Pushed, Reference, Select, Settings,
};
use image::{Compression, Image, LayerCache, Selection};
use peer::{Peer, settings};
use store::progress::Silent;

fn linux() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

fn options(place: &std::path::Path) -> PushOptions {
    PushOptions {
        compression: Compression::Gzip,
        cache: LayerCache::new(place.join("cache")),
        force: false,
        mount_from: Vec::new(),
    }
}

fn copy_options(place: &std::path::Path) -> CopyOptions {
    CopyOptions {
        select: Select::WhatFits(linux()),
        preserve_digests: false,
        compression: Compression::Gzip,
        cache: LayerCache::new(place.join("cache")),
        force: false,
        mount_from: Vec::new(),
        scratch: place.join("scratch"),
    }
}

async fn copy(client: &Client, from: &str, to: &str, options: &CopyOptions) -> Result<Copied, Error> {
    let place = |text: &str| match Place::parse(text) {
        Some(place) => place.unwrap(),
        None => Place::Registry(text.parse().unwrap()),
    };
    client.copy(&place(from), &place(to), options, &Silent).await
}

async fn push(client: &Client, image: &Image, to: &str, options: &PushOptions) -> Result<Pushed, Error> {
    client.push(image, &to.parse().unwrap(), options, &Silent).await
}

#[tokio::test]
async fn an_image_goes_there_and_comes_back() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let image = peer::image(&place.path().join("one"), "one");
    let client = Client::new(settings());
    let options = options(place.path());
    let to = format!("{}/team/app:1.0", peer.host);
    let pushed = push(&client, &image, &to, &options).await.unwrap();
    assert_eq!((pushed.up_to_date, pushed.blobs_sent), (false, 3));
    assert_eq!(pushed.digest, peer::digest(&image, &options.cache));
    let again = push(&client, &image, &to, &options).await.unwrap();
    assert!(again.up_to_date && again.bytes_sent == 0 && again.blobs_sent == 0);

    let reference: Reference = to.parse().unwrap();
    let out = place.path().join("pulled");
    let pulled = client.pull(&reference, &linux(), &out, Some(("final", "tag")), &Silent).await.unwrap();
    assert_eq!((pulled.manifest, pulled.resolved), (pushed.digest, pushed.digest));
    let back = Image::open_path(&out, &out, Selection::default()).unwrap();
    assert_eq!(back.reference().as_deref(), Some("final:tag"));
    back.verify().unwrap();
    assert_eq!(peer::digest(&back, &options.cache), pushed.digest);
    assert_eq!(client.tags(&reference).await.unwrap(), ["1.0"]);
    assert_eq!(client.catalog(&peer.host).await.unwrap(), ["team/app"]);
    let gone = client.pull(&reference.with_tag("2").unwrap(), &linux(), &place.path().join("no"), None, &Silent).await;
    assert!(gone.unwrap_err().to_string().contains("has no team/app:2"));
    assert!(!place.path().join("no").exists());
}

#[tokio::test]
async fn a_version_tag_moves_only_by_force_and_shared_layers_are_mounted() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (peer::image(&place.path().join("one"), "one"), peer::image(&place.path().join("two"), "two"));
    let client = Client::new(settings());
    let mut options = options(place.path());
    let (version, latest) = (format!("{}/app:1.0", peer.host), format!("{}/app:latest", peer.host));
    let first = push(&client, &one, &version, &options).await.unwrap();
    push(&client, &one, &latest, &options).await.unwrap();
    push(&client, &two, &latest, &options).await.unwrap();
    let error = push(&client, &two, &version, &options).await.unwrap_err().to_string();
    let new = peer::digest(&two, &options.cache);
    assert!(error.contains(&first.digest.to_string()) && error.contains(&new.to_string()), "{error}");
    options.force = true;
    push(&client, &two, &version, &options).await.unwrap();
    options.mount_from = vec!["nothing/here".into(), "app".into()];
    let mounted = push(&client, &one, &format!("{}/other:1", peer.host), &options).await.unwrap();
    assert_eq!((mounted.blobs_mounted, mounted.blobs_sent), (2, 1));
}

#[tokio::test]
async fn what_a_registry_has_lost_is_sent_again() {
    let Some(peer) = Peer::start(false) else { return };
    let place = tempfile::tempdir().unwrap();
    let image = |name: &str| {
        let files = [("etc/same", "the same".to_owned()), ("usr/other", name.repeat(10_000))];
        peer::image_of(&place.path().join(name), &files)
    };
    let (one, two) = (image("one"), image("two"));
    let (client, options) = (Client::new(settings()), options(place.path()));
    push(&client, &one, &format!("{}/app:a", peer.host), &options).await.unwrap();
    // It shares layers with what was pushed before; only what it has of its own is asked for.
    let second = push(&client, &two, &format!("{}/app:b", peer.host), &options).await.unwrap();
    std::fs::remove_dir_all(peer.directory.path().join("data/docker/registry/v2/repositories/app/_layers")).unwrap();
    let again = push(&client, &one, &format!("{}/app:c", peer.host), &options).await.unwrap();
    assert_eq!((second.blobs_sent, again.blobs_sent), (2, 3));
    client
        .pull(&format!("{}/app:c", peer.host).parse().unwrap(), &linux(), &place.path().join("back"), None, &Silent)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_account_is_asked_for_and_used() {
    let Some(peer) = Peer::start(true) else { return };
    let place = tempfile::tempdir().unwrap();
    let image = peer::image(&place.path().join("one"), "one");
    let options = options(place.path());
    let to = format!("{}/app:1", peer.host);
    let error = push(&Client::new(settings()), &image, &to, &options).await.unwrap_err();
    assert!(matches!(&error, Error::Unauthorized { reason, .. } if reason.contains("wharf login")), "{error}");
    let file = place.path().join("config.json");
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, peer.host);
    std::fs::write(&file, auths).unwrap();
    let by_file = Settings { auth_files: vec![file], ..settings() };
    assert_eq!(push(&Client::new(by_file), &image, &to, &options).await.unwrap().blobs_sent, 3);
    let wrong = Credential::Password { user: "user".into(), password: "wrong".into() };
    let wrong = Settings { credentials: BTreeMap::from([(peer.host.clone(), wrong)]), ..settings() };
    let error = push(&Client::new(wrong), &image, &to, &options).await.unwrap_err().to_string();
    assert!(error.contains("as user") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn images_are_copied_between_registries_and_deleted() {
    let (Some(from), Some(to)) = (Peer::start(false), Peer::start(true)) else { return };
    let place = tempfile::tempdir().unwrap();
    let image = peer::image(&place.path().join("one"), "one");
    let account = Credential::Password { user: "user".into(), password: "secret".into() };
    let client = Client::new(Settings { credentials: BTreeMap::from([(to.host.clone(), account)]), ..settings() });
    let source: Reference = format!("{}/app:1", from.host).parse().unwrap();
    let pushed = push(&client, &image, &source.to_string(), &options(place.path())).await.unwrap();
    let target: Reference = format!("{}/copied/app:1", to.host).parse().unwrap();
    let options = copy_options(place.path());
    let (from_name, to_name) = (source.to_string(), target.to_string());
    let copied = copy(&client, &from_name, &to_name, &options).await.unwrap();
    assert_eq!((copied.digest, copied.up_to_date, copied.blobs_sent), (pushed.digest, false, 3));
    assert!(copy(&client, &from_name, &to_name, &options).await.unwrap().up_to_date);
    let beside: Reference = format!("{}/beside:1", from.host).parse().unwrap();
    let mounted = copy(&client, &source.to_string(), &beside.to_string(), &options).await.unwrap();
    assert_eq!((mounted.blobs_mounted, mounted.blobs_sent), (3, 0));
    client.delete(&target.with_digest(copied.digest)).await.unwrap();
    assert!(matches!(client.resolve(&target).await, Err(Error::NotFound { .. })));
    assert_eq!(client.resolve(&beside).await.unwrap().descriptor.digest, pushed.digest);
}
