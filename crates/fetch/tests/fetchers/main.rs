//! Fetching into a store: by itself, and beside real Nix where that is installed.

mod caches;
mod forges;
mod git;
mod locks;
mod multipart;
mod paths;
mod pinned;
mod remote_git;
mod server;
mod tarballs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fetch::{Fetcher, Settings, Tree};
use nix_formats::flake_ref::FlakeRef;
use serde_json::Value;
use store::LocalStore;
use store::progress::Silent;

/// A store and a cache of their own.
struct Fixture {
    dir: tempfile::TempDir,
    store: Arc<LocalStore>,
    fetcher: Fetcher,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(&dir.path().join("root")).unwrap());
        let settings = Settings { cache: dir.path().join("cache"), ..settings };
        let fetcher = Fetcher::new(store.clone(), Arc::new(Silent), settings);
        Self { dir, store, fetcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tree(&self, reference: &str) -> Tree {
        self.fetcher.tree(&FlakeRef::parse(reference).unwrap(), "source").unwrap()
    }
}

/// Whether the program is there; if not, says so, or fails where all peers must be there.
fn has_peer(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{program} is not installed");
    println!("skipped: needs {program}");
    false
}

/// What `nix flake metadata --json` says of a flake.
fn nix_metadata(fixture: &Fixture, reference: &str) -> Value {
    let output = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes", "flake", "metadata", "--json", "--store"])
        .arg(fixture.path("nix-root"))
        .args(["--no-write-lock-file", reference])
        .env("HOME", fixture.dir.path())
        .env_remove("NIX_REMOTE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A newer Nix than the machine's, if `WHARF_NEWER_NIX` names one.
fn newer_nix() -> Option<String> {
    std::env::var("WHARF_NEWER_NIX").ok()
}

/// What real Nix makes of an expression.
fn nix(fixture: &Fixture, program: &str, expression: &str) -> Value {
    let home = fixture.path("home");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join(".gitconfig"), "[safe]\n\tdirectory = *\n[protocol \"file\"]\n\tallow = always\n")
        .unwrap();
    let output = Command::new(program)
        .args(["--eval", "--strict", "--json", "--option", "experimental-features", "flakes fetch-tree", "-E"])
        .arg(expression)
        .env("NIX_REMOTE", fixture.path(if program.starts_with('/') { "newer-root" } else { "nix-root" }))
        .env("HOME", &home)
        .current_dir(fixture.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs git with nothing of the machine's own configuration, at a fixed time.
fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(["-c", "commit.gpgSign=false", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", directory)
        .env("GIT_COMMITTER_DATE", "1700000000 +0100")
        .env("GIT_AUTHOR_DATE", "1600000000 +0000")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
