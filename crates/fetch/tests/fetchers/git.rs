//! Repositories on this machine.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use fetch::FetchError;
use nix_formats::flake_ref::{Attr, FlakeRef};
use store::Store;

use crate::{Fixture, git, has_peer, nix_metadata};

/// A repository with two commits, an untracked and an ignored file.
fn repository(fixture: &Fixture) -> PathBuf {
    let root = fixture.path("repository");
    std::fs::create_dir_all(root.join("sub/deep")).unwrap();
    git(&root, &["init", "--quiet"]);
    std::fs::write(root.join("flake.nix"), "{ outputs = { ... }: { }; }").unwrap();
    std::fs::write(root.join("sub/deep/run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(root.join("sub/deep/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("deep/run", root.join("sub/link")).unwrap();
    // In git's order this comes before the directory `sub`, in a NAR after it.
    std::fs::write(root.join("sub.txt"), "x").unwrap();
    git(&root, &["add", "."]);
    git(&root, &["commit", "--quiet", "-m", "first"]);
    git(&root, &["tag", "v1"]);
    std::fs::write(root.join("second"), "2").unwrap();
    git(&root, &["add", "."]);
    git(&root, &["commit", "--quiet", "-m", "second"]);
    std::fs::write(root.join("untracked"), "not taken").unwrap();
    root
}

fn url(root: &std::path::Path) -> String {
    format!("git+file://{}", root.display())
}

/// Compares with Nix: the store path, and everything that it says of the tree.
fn check(fixture: &Fixture, reference: &str) -> FlakeRef {
    let tree = fixture.tree(reference);
    let nix = nix_metadata(fixture, reference);
    assert_eq!(tree.path.to_absolute(), nix["path"], "{reference}");
    for name in ["narHash", "rev", "revCount", "lastModified"] {
        let ours = tree.locked.attrs().get(name).map(|value| serde_json::to_value(value).unwrap());
        assert_eq!(ours.as_ref(), nix["locked"].get(name), "{reference}: {name}");
    }
    tree.locked
}

#[test]
fn nix_gives_the_same_tree() {
    if !has_peer("git") || !has_peer("nix") {
        return;
    }
    let fixture = Fixture::new();
    let root = repository(&fixture);
    let clean = check(&fixture, &url(&root));
    assert_eq!((clean.number("revCount"), clean.number("lastModified")), (Some(2), Some(1_700_000_000)));
    check(&fixture, &format!("{}?ref=v1", url(&root)));
    let first = git(&root, &["rev-parse", "HEAD^"]);
    check(&fixture, &format!("{}?rev={first}", url(&root)));

    std::fs::write(root.join("second"), "changed").unwrap();
    std::fs::remove_file(root.join("sub.txt")).unwrap();
    let dirty = check(&fixture, &url(&root));
    assert_eq!(dirty.text("rev"), None);
    let rev = git(&root, &["rev-parse", "HEAD"]);
    assert_eq!(dirty.text("dirtyRev"), Some(format!("{rev}-dirty").as_str()));
    assert_eq!(dirty.text("dirtyShortRev"), Some(format!("{}-dirty", &rev[..7]).as_str()));
    std::fs::write(root.join("staged"), "s").unwrap();
    git(&root, &["add", "staged"]);
    check(&fixture, &url(&root));
}

#[test]
fn clean_and_dirty_are_told_apart() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let root = repository(&fixture);
    let is_dirty = || fixture.tree(&url(&root)).locked.text("rev").is_none();
    assert!(!is_dirty());
    // A file that only looks touched is not dirty.
    std::fs::write(root.join("second"), "2").unwrap();
    assert!(!is_dirty());
    std::fs::write(root.join("second"), "3").unwrap();
    assert!(is_dirty());
    std::fs::write(root.join("second"), "2").unwrap();
    std::fs::set_permissions(root.join("second"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(is_dirty());
    git(&root, &["checkout", "--quiet", "second"]);
    assert!(!is_dirty());
    git(&root, &["rm", "--quiet", "--cached", "second"]);
    assert!(is_dirty());
    git(&root, &["reset", "--quiet"]);
    git(&root, &["add", "--intent-to-add", "untracked"]);
    assert!(is_dirty());
    let taken = fixture.tree(&url(&root));
    assert!(fixture.store.real_path(&taken.path).join("untracked").exists());
}

#[test]
fn attributes_do_not_change_what_was_committed() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let root = repository(&fixture);
    std::fs::write(root.join(".gitattributes"), "*.crlf eol=crlf\n").unwrap();
    std::fs::write(root.join("a.crlf"), "one\r\ntwo\r\n").unwrap();
    git(&root, &["add", "."]);
    git(&root, &["commit", "--quiet", "-m", "third"]);
    let rev = git(&root, &["rev-parse", "HEAD"]);
    let committed = fixture.tree(&format!("{}?rev={rev}", url(&root)));
    let content = std::fs::read(fixture.store.real_path(&committed.path).join("a.crlf")).unwrap();
    assert_eq!(content, b"one\ntwo\n");
}

#[test]
fn a_repository_without_commits_has_no_revision() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let root = fixture.path("new");
    std::fs::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    std::fs::write(root.join("flake.nix"), "{ }").unwrap();
    git(&root, &["add", "."]);
    let tree = fixture.tree(&url(&root));
    assert_eq!(tree.locked.number("lastModified"), Some(0));
    let attributes = tree.attributes(true);
    assert!(attributes.contains(&("shortRev", "0000000".into())));
    assert!(attributes.contains(&("revCount", Attr::Int(0))));
    assert!(attributes.contains(&("lastModifiedDate", "19700101000000".into())));
}

#[test]
fn bare_and_shallow_repositories_and_worktrees_are_read() {
    if !has_peer("git") {
        return;
    }
    let fixture = Fixture::new();
    let root = repository(&fixture);
    let whole = fixture.tree(&url(&root)).path;
    git(fixture.dir.path(), &["clone", "--quiet", "--bare", root.to_str().unwrap(), "bare"]);
    assert_eq!(fixture.tree(&url(&fixture.path("bare"))).path, whole);
    git(&root, &["worktree", "add", "--quiet", "--detach", fixture.path("linked").to_str().unwrap()]);
    assert_eq!(fixture.tree(&url(&fixture.path("linked"))).path, whole);
    let file = format!("file://{}", root.display());
    git(fixture.dir.path(), &["clone", "--quiet", "--depth", "1", &file, "shallow"]);
    let shallow = url(&fixture.path("shallow"));
    let refused = fixture.fetcher.tree(&FlakeRef::parse(&shallow).unwrap(), "source").unwrap_err();
    assert!(refused.to_string().contains("shallow=1"), "{refused}");
    let tree = fixture.tree(&format!("{shallow}?shallow=1"));
    assert_eq!((tree.path, tree.locked.number("revCount")), (whole, None));
}

#[test]
fn what_cannot_be_fetched_says_so() {
    let fixture = Fixture::new();
    for reference in
        ["git+file:///x?verifyCommit=1", "git+file:///x?submodules=1&exportIgnore=1", "hg+file:///x", "nixpkgs"]
    {
        let error = fixture.fetcher.tree(&FlakeRef::parse(reference).unwrap(), "source").unwrap_err();
        assert!(matches!(error, FetchError::Unsupported { .. }), "{error}");
    }
    let error = fixture.fetcher.tree(&FlakeRef::parse("git+file:///does/not/exist").unwrap(), "source").unwrap_err();
    assert!(matches!(error, FetchError::Git { .. }), "{error}");
}
