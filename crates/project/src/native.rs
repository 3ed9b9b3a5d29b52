//! Wharf's own image functions in the place of nixpkgs'.
//!
//! A definition reaches nixpkgs in many ways: `--pkgs`, a flake's input, `import <nixpkgs>`, a pinned tarball. In all of
//! them `dockerTools` and `ociTools` come from the same two files, so those are replaced when they are read
//! (`docs/decisions/0012-native-image-functions.md`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::pins::Pins;
use crate::services::Services;
use crate::{embedded, own_binary};

/// A file of nixpkgs: where it is, a word that it has, and what stands in its place.
const FILES: &[(&str, &str, &str)] = &[
    ("pkgs/build-support/docker/default.nix", "buildImage", "docker-nixpkgs.nix"),
    ("pkgs/build-support/oci-tools/default.nix", "buildContainer", "oci-nixpkgs.nix"),
];

/// Replaces the files of nixpkgs. It needs the running binary as a store object, which is added when it is needed.
pub(crate) struct Native {
    pub(crate) services: Arc<Services>,
    pub(crate) binary: PathBuf,
    pub(crate) cache: PathBuf,
    /// Where `wharf.lock` is looked for.
    pub(crate) directory: PathBuf,
}

impl Native {
    /// The text to be read at a path that has `content`.
    pub(crate) fn read(&self, path: &Path, content: Vec<u8>) -> Result<Vec<u8>, Error> {
        let found = FILES.iter().find(|(name, word, _)| path.ends_with(name) && has_word(&content, word));
        let Some((_, _, own)) = found else { return Ok(content) };
        let wharf = own_binary::store_object(&*self.services.open()?.store, &self.binary, &self.cache)?.to_absolute();
        let pins = Pins::expression_for(&self.directory)?;
        let (root, architecture) = (embedded::ROOT, std::env::consts::ARCH);
        let text = format!(
            "import {root}/{own} {{\n  wharf = builtins.appendContext \"{wharf}\" {{ \"{wharf}\".path = true; }};\n  \
             system = \"{architecture}-linux\";\n  pins = {pins};\n}}\n"
        );
        Ok(text.into_bytes())
    }
}

fn has_word(content: &[u8], word: &str) -> bool {
    content.windows(word.len()).any(|window| window == word.as_bytes())
}
