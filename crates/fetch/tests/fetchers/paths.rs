//! Directories as they are, and what plain paths mean.

use fetch::{FetchError, locate};
use nix_formats::flake_ref::{Attr, Scheme};
use store::Store;

use crate::{Fixture, has_peer, nix_metadata};

fn flake(fixture: &Fixture) -> std::path::PathBuf {
    let flake = fixture.path("flake");
    std::fs::create_dir_all(flake.join("sub/empty")).unwrap();
    std::fs::write(flake.join("flake.nix"), "{ outputs = { ... }: { }; }").unwrap();
    std::fs::write(flake.join("sub/file"), "text").unwrap();
    flake
}

#[test]
fn a_directory_is_copied_whole() {
    let fixture = Fixture::new();
    let flake = flake(&fixture);
    let tree = fixture.tree(&format!("path:{}", flake.display()));
    assert!(fixture.store.real_path(&tree.path).join("sub/empty").is_dir());
    assert_eq!(tree.path.name(), "source");
    let names: Vec<_> = tree.attributes(false).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["narHash", "lastModified", "lastModifiedDate"]);
    // By its hash alone it is found again, though the directory is gone.
    std::fs::remove_dir_all(&flake).unwrap();
    assert_eq!(fixture.fetcher.tree(&tree.locked, "source").unwrap(), tree);
}

#[test]
fn a_hash_that_is_not_its_own_is_refused() {
    let fixture = Fixture::new();
    let flake = flake(&fixture);
    let reference = fixture.tree(&format!("path:{}", flake.display())).locked;
    std::fs::write(flake.join("flake.nix"), "{ }").unwrap();
    let other = Fixture::new();
    let error = other.fetcher.tree(&reference.with("lastModified", None), "source").unwrap_err();
    assert!(matches!(error, FetchError::HashMismatch { .. }), "{error}");
}

#[test]
fn relative_paths_need_a_flake() {
    let fixture = Fixture::new();
    let reference = nix_formats::flake_ref::FlakeRef::parse("path:./sub").unwrap();
    assert!(matches!(fixture.fetcher.tree(&reference, "source"), Err(FetchError::Unsupported { .. })));
}

#[test]
fn plain_paths_are_searched_upwards() {
    let fixture = Fixture::new();
    let flake = flake(&fixture).canonicalize().unwrap();
    let (reference, fragment) = locate(&flake.join("sub"), ".#x").unwrap();
    assert_eq!((reference.scheme(), fragment.as_str()), (Scheme::Path, "x"));
    assert_eq!(reference.text("path"), flake.to_str());
    std::fs::create_dir(fixture.path(".git")).unwrap();
    let (reference, _) = locate(&flake, "./flake.nix").unwrap();
    assert_eq!((reference.scheme(), reference.dir()), (Scheme::Git, "flake"));
    let (reference, _) = locate(&flake, "github:a/b").unwrap();
    assert_eq!(reference.scheme(), Scheme::GitHub);
    std::fs::remove_file(flake.join("flake.nix")).unwrap();
    assert!(matches!(locate(&flake, "."), Err(FetchError::NotAFlake { .. })));
    assert!(matches!(locate(&flake, "./gone"), Err(FetchError::Io { .. })));
}

#[test]
fn nix_gives_the_same_path() {
    if !has_peer("nix") {
        return;
    }
    let fixture = Fixture::new();
    let flake = flake(&fixture);
    let reference = format!("path:{}", flake.display());
    let nix = nix_metadata(&fixture, &reference);
    let tree = fixture.tree(&reference);
    assert_eq!(tree.path.to_absolute(), nix["path"]);
    assert_eq!(tree.locked.text("narHash"), nix["locked"]["narHash"].as_str());
    assert_eq!(tree.locked.attrs()["lastModified"], Attr::Int(nix["lastModified"].as_u64().unwrap()));
}
