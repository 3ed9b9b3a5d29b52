//! Binary caches that real Nix has made.

use std::path::{Path, PathBuf};

use peers::{available, command, is_root, succeed};

use crate::place::Place;

/// A cache as a directory of the place.
pub struct NixCache {
    store: PathBuf,
    directory: PathBuf,
}

impl NixCache {
    /// An empty one, or says what is missing to fill it.
    pub fn new(place: &Place) -> Option<Self> {
        if !available(&["nix-build", "nix", "busybox"]) || !is_root() {
            return None;
        }
        Some(Self { store: place.path().join("nix"), directory: place.path().join("cache") })
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("file://{}", self.directory.display())
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Builds what a file says and adds it with all that it refers to. Nix believes that it can build for aarch64 too; the
    /// builders have `/bin/sh` and `/bin/busybox`.
    pub fn add(&self, file: &Path, arguments: &[&str]) {
        let mut build = command("nix-build");
        build.arg(file).arg("--no-out-link").args(arguments);
        build.args(["--option", "extra-platforms", "aarch64-linux", "--option", "build-users-group", ""]);
        build.args(["--option", "sandbox-paths", "/bin/sh=/bin/busybox /bin/busybox", "--option", "substituters", ""]);
        let path = succeed(build.arg("--store").arg(&self.store).env_remove("NIX_REMOTE"));
        let name = Path::new(path.trim()).file_name().expect("a store path").to_owned();
        let mut copy = command("nix");
        copy.args(["--extra-experimental-features", "nix-command", "copy", "--no-check-sigs", "--from"])
            .arg(&self.store);
        copy.arg("--to").arg(self.address()).arg(Path::new("/nix/store").join(name));
        succeed(&mut copy);
    }
}
