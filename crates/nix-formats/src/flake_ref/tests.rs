//! References and their attributes, as in the manual of `nix flake` and in Nix's own tests.

use serde_json::json;

use super::*;

const REV: &str = "b4a34015c698c7793d592d66adbab377907a2be8";

fn attrs(reference: &FlakeRef) -> serde_json::Value {
    serde_json::to_value(reference.attrs()).unwrap()
}

#[test]
fn every_form_is_read_and_printed() {
    let cases = [
        ("nixpkgs", json!({"type": "indirect", "id": "nixpkgs"}), "flake:nixpkgs"),
        (
            "nixpkgs/nixos-24.05",
            json!({"type": "indirect", "id": "nixpkgs", "ref": "nixos-24.05"}),
            "flake:nixpkgs/nixos-24.05",
        ),
        ("flake:x/main", json!({"type": "indirect", "id": "x", "ref": "main"}), "flake:x/main"),
        (
            "github:NixOS/nixpkgs",
            json!({"type": "github", "owner": "NixOS", "repo": "nixpkgs"}),
            "github:NixOS/nixpkgs",
        ),
        (
            "github:a/b/c/d?dir=sub&host=git.example.org",
            json!({"type": "github", "owner": "a", "repo": "b", "ref": "c/d", "dir": "sub", "host": "git.example.org"}),
            // A slash in the branch's name is escaped, so that it is one segment.
            "github:a/b/c%2Fd?dir=sub&host=git.example.org",
        ),
        (
            "path:/a/b%20c?lastModified=7",
            json!({"type": "path", "path": "/a/b c", "lastModified": 7}),
            "path:/a/b%20c?lastModified=7",
        ),
        ("path:./sub", json!({"type": "path", "path": "./sub"}), "path:./sub"),
        ("///g", json!({"type": "path", "path": "///g"}), "path://///g"),
        ("./sub?dir=x", json!({"type": "path", "path": "./sub", "dir": "x"}), "path:./sub?dir=x"),
        (
            "git+https://example.org/r.git?ref=main&submodules=1&x=y",
            json!({"type": "git", "url": "https://example.org/r.git?x=y", "ref": "main", "submodules": true}),
            "git+https://example.org/r.git?ref=main&submodules=1&x=y",
        ),
        (
            "git+file:///home/x?shallow=1",
            json!({"type": "git", "url": "file:///home/x", "shallow": true}),
            "git+file:///home/x?shallow=1",
        ),
        ("git://h/r", json!({"type": "git", "url": "git://h/r"}), "git://h/r"),
        ("git+ssh://git@h:22/r", json!({"type": "git", "url": "ssh://git@h:22/r"}), "git+ssh://git@h:22/r"),
        ("hg+https://h/r", json!({"type": "hg", "url": "https://h/r"}), "hg+https://h/r"),
        (
            "https://h/x.tar.gz?a=b",
            json!({"type": "tarball", "url": "https://h/x.tar.gz?a=b"}),
            "https://h/x.tar.gz?a=b",
        ),
        ("file+https://h/x", json!({"type": "file", "url": "https://h/x"}), "file+https://h/x"),
    ];
    for (text, expected, printed) in cases {
        let reference = FlakeRef::parse(text).unwrap();
        assert_eq!(attrs(&reference), expected, "{text}");
        assert_eq!(reference.to_string(), printed);
        assert_eq!(FlakeRef::parse(printed).unwrap(), reference, "{printed}");
        assert_eq!(FlakeRef::from_attrs(serde_json::from_value(expected).unwrap()).unwrap(), reference);
    }
}

#[test]
fn a_commit_hash_is_no_branch() {
    for text in [format!("github:a/b/{REV}"), format!("github:a/b?rev={REV}"), format!("nixpkgs/{REV}")] {
        assert_eq!(FlakeRef::parse(&text).unwrap().text("rev"), Some(REV), "{text}");
    }
    let both = FlakeRef::parse(&format!("nixpkgs/main/{REV}")).unwrap();
    assert_eq!((both.text("ref"), both.text("rev")), (Some("main"), Some(REV)));
    assert!(both.with("type", Some("git".into())).is_locked());
}

#[test]
fn fragments_are_told_apart() {
    let (reference, fragment) = Reference::parse(".#a%20b").unwrap();
    assert_eq!(
        (reference, fragment.as_str()),
        (Reference::Path { path: ".".to_owned(), query: BTreeMap::new() }, "a b")
    );
    let (_, fragment) = Reference::parse("nixpkgs#hello").unwrap();
    assert_eq!(fragment, "hello");
    assert!(FlakeRef::parse("nixpkgs#hello").is_err());
}

#[test]
fn parameters_that_mean_nothing_to_a_forge_are_left_out() {
    for (text, printed) in [
        ("github:a/b?submodules=1", "github:a/b"),
        ("gitlab:a/b?lastModified=x&dir=c", "gitlab:a/b?dir=c"),
        ("flake:nixpkgs?dir=x&y=z", "flake:nixpkgs?dir=x"),
    ] {
        assert_eq!(FlakeRef::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn malformed_ones_are_refused() {
    for (text, reason) in [
        ("github:a", "expected 'github:OWNER/REPO'"),
        ("path:/a?x=y", "'x' is not supported"),
        ("github:a/b/c?ref=d", "names one already"),
        ("github:a/b?ref=x..y", "not a branch or tag"),
        ("github:a/b?host=a/b", "host is malformed"),
        ("path:/a?rev=1", "not a commit hash"),
        ("path://host/a", "no host"),
        ("path:/a?lastModified=x", "must be a number"),
        ("path:/a?dir=../b", "inside the tree"),
        ("path:/a?narHash=x", "hash"),
        ("file+git://a", "git+file"),
        ("svn://x", "not supported"),
    ] {
        let error = FlakeRef::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let unknown =
        Attrs::from([("type".to_owned(), "path".into()), ("path".to_owned(), "/".into()), ("x".to_owned(), 1.into())]);
    assert!(FlakeRef::from_attrs(unknown).unwrap_err().to_string().contains("'x' is not supported"));
}
