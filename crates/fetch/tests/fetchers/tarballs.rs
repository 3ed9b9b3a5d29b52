//! Archives and files at an address.

use std::process::Command;
use std::sync::Arc;

use fetch::{CacheSettings, FetchError, Fetcher, Settings, Tree, open_cache};
use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::{Hash, HashAlgo};
use store::Store;
use store::cache::{BinaryCache, CacheOptions, ExportOptions, Substituters, export};
use store::progress::Silent;

use crate::{Fixture, has_peer, newer_nix, nix};

/// An archive as forges make them, with one directory at its top.
fn archive(fixture: &Fixture) -> String {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content, mode) in [("top-1/a", "text", 0o644), ("top-1/bin/run", "#!/bin/sh\n", 0o755)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    let file = fixture.path("x.tar.gz");
    std::fs::write(&file, builder.into_inner().unwrap().finish().unwrap()).unwrap();
    format!("file://{}", file.display())
}

#[test]
fn an_archive_is_unpacked_without_its_top() {
    let fixture = Fixture::new();
    let url = archive(&fixture);
    let path = fixture.fetcher.tarball(&url, "source", None).unwrap();
    let real_path = fixture.store.real_path(&path);
    assert_eq!(std::fs::read_to_string(real_path.join("a")).unwrap(), "text");
    let hash = fixture.store.require(&path).unwrap().nar_hash;
    assert_eq!(fixture.fetcher.tarball(&url, "source", Some(&hash)).unwrap(), path);
    let tree = fixture.tree(&format!("tarball+{url}"));
    assert_eq!((tree.path, tree.locked.number("lastModified")), (path, Some(1_700_000_000)));
    let wrong = Hash::of(HashAlgo::Sha256, b"");
    let error = fixture.fetcher.tarball(&url, "source", Some(&wrong)).unwrap_err();
    assert!(matches!(error, FetchError::HashMismatch { .. }), "{error}");
}

#[test]
fn nix_unpacks_the_same() {
    if !has_peer("nix-prefetch-url") {
        return;
    }
    let fixture = Fixture::new();
    let url = archive(&fixture);
    let output = Command::new("nix-prefetch-url")
        .args(["--unpack", "--print-path", "--name", "source", &url])
        .env("NIX_REMOTE", fixture.path("nix-root"))
        .env("HOME", fixture.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = fixture.fetcher.tarball(&url, "source", None).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let hash = fixture.store.require(&path).unwrap().nar_hash.to_nix32();
    assert_eq!(printed, format!("{hash}\n{path}\n"));
}

/// A zip archive with a symlink, a program, and directories of which one is empty.
fn zip_archive(fixture: &Fixture) -> String {
    let mut archive = rawzip::ZipArchiveWriter::new(Vec::new());
    let time = rawzip::time::UtcDateTime::from_unix(1_700_000_000);
    archive.new_dir("top/").last_modified(time).unix_permissions(0o755).create().unwrap();
    archive.new_dir("top/empty/").last_modified(time).unix_permissions(0o755).create().unwrap();
    let files = [("top/a", "text", 0o100644), ("top/bin/run", "#!/bin/sh\n", 0o100755), ("top/l", "bin/run", 0o120777)];
    for (path, content, mode) in files {
        let file = archive.new_file(path).last_modified(time).unix_permissions(mode);
        let (mut entry, config) = file.start().unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, content.as_bytes()).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    let file = fixture.path("x.zip");
    std::fs::write(&file, archive.finish().unwrap()).unwrap();
    format!("file://{}", file.display())
}

#[test]
fn nix_unpacks_zip_archives_the_same() {
    if !has_peer("nix-instantiate") {
        return;
    }
    let fixture = Fixture::new();
    let url = zip_archive(&fixture);
    let tree = fixture.tree(&format!("tarball+{url}"));
    let expression =
        format!("removeAttrs (builtins.fetchTree {{ type = \"tarball\"; url = \"{url}\"; }}) [ \"outPath\" ]");
    let expected = serde_json::json!({
        "narHash": tree.locked.text("narHash"),
        "lastModified": 1_700_000_000,
        "lastModifiedDate": "20231114221320",
    });
    // Nix 2.8 says no time of an archive.
    assert_eq!(nix(&fixture, "nix-instantiate", &expression)["narHash"], expected["narHash"]);
    if let Some(program) = newer_nix() {
        assert_eq!(nix(&fixture, &program, &expression), expected, "{program}");
    }
}

#[test]
fn a_file_is_checked_by_its_bytes() {
    let fixture = Fixture::new();
    let file = fixture.path("file");
    std::fs::write(&file, "content").unwrap();
    let url = format!("file://{}", file.display());
    for algo in [HashAlgo::Sha256, HashAlgo::Sha1] {
        let hash = Hash::of(algo, b"content");
        let path = fixture.fetcher.file(&url, "name", Some(&hash)).unwrap();
        assert_eq!(std::fs::read(fixture.store.real_path(&path)).unwrap(), b"content");
        let error = fixture.fetcher.file(&url, "other", Some(&Hash::of(algo, b"else"))).unwrap_err();
        assert!(matches!(error, FetchError::HashMismatch { .. }), "{error}");
    }
    let tree = fixture.tree(&format!("file+{url}"));
    assert!(fixture.store.real_path(&tree.path).is_file());
}

#[test]
fn without_the_network_there_is_the_cache() {
    let fixture = Fixture::with(Settings { offline: true, ..Settings::default() });
    let error = fixture.fetcher.tarball("https://example.org/x.tar.gz", "source", None).unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    let error = fixture.fetcher.file("ftp://example.org/x", "source", None).unwrap_err();
    assert!(matches!(error, FetchError::Unsupported { .. }), "{error}");
    let gone = FlakeRef::parse("tarball+file:///gone.tar.gz").unwrap();
    assert!(matches!(fixture.fetcher.tree(&gone, "source"), Err(FetchError::Io { .. })));
}

#[test]
fn what_has_a_hash_may_come_from_a_binary_cache() {
    let fixture = Fixture::new();
    let url = archive(&fixture);
    let locked = fixture.tree(&format!("tarball+{url}")).locked;
    let path = fixture.tree(&format!("tarball+{url}")).path;
    let address = format!("file://{}", fixture.path("cache-files").display());
    let open = || open_cache(&address, &CacheSettings::default()).unwrap().transport;
    export(&*fixture.store, std::slice::from_ref(&path), &*open(), &ExportOptions::default(), &Silent).unwrap();
    std::fs::remove_file(fixture.path("x.tar.gz")).unwrap();

    let fetcher = |to: &Fixture, is_default: bool| {
        let options = CacheOptions { keys: None, is_default, ..CacheOptions::default() };
        let caches = Arc::new(Substituters::new(vec![BinaryCache::new(open(), options)]));
        let settings = Settings { cache: to.path("cache"), ..Settings::default() };
        Fetcher::new(to.store.clone(), Arc::new(Silent), settings).with_substituters(caches)
    };
    let to = Fixture::new();
    // A cache that nobody has named is not told what is fetched here.
    assert!(fetcher(&to, true).tree(&locked, "source").is_err());
    assert_eq!(fetcher(&to, false).tree(&locked, "source").unwrap(), Tree { path, locked });
}
