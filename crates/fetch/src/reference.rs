//! What a plain path means: the git repository around it, or the directory alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix_formats::flake_ref::{Attr, Attrs, FlakeRef, Reference};

use crate::FetchError;

/// The reference that a text on a command line means, as seen from the directory `base`, and what follows it after a
/// `#` (empty if nothing does).
///
/// A plain path is searched upwards for a `flake.nix` first, and for a `.git` then: with one it is a reference to that
/// repository.
pub fn locate(base: &Path, text: &str) -> Result<(FlakeRef, String), FetchError> {
    let (reference, fragment) = Reference::parse(text)?;
    let located = match reference {
        Reference::Flake(reference) if reference.is_relative() => {
            let path = absolute(base, reference.text("path").unwrap_or_default())?;
            reference.with("path", Some(path.to_string_lossy().into_owned().into()))
        }
        Reference::Flake(reference) => reference,
        Reference::Path { path, query } => {
            let directory = find_flake(&absolute(base, &path)?)?;
            let query = query.into_iter().map(|(name, value)| (name, Attr::from(value))).collect();
            around(&directory, query)?
        }
    };
    Ok((located, fragment))
}

fn absolute(base: &Path, path: &str) -> Result<PathBuf, FetchError> {
    let path = base.join(path);
    path.canonicalize().map_err(FetchError::io("find", path))
}

/// The nearest directory from here upwards that has a `flake.nix`, within one file system and one repository.
fn find_flake(path: &Path) -> Result<PathBuf, FetchError> {
    let not_a_flake = |reason| FetchError::NotAFlake { path: path.to_owned(), reason };
    if path.ends_with("flake.nix") && path.is_file() {
        return Ok(path.parent().unwrap_or(path).to_owned());
    }
    let device = path.metadata().map_err(FetchError::io("read", path))?.dev();
    if !path.is_dir() {
        return Err(not_a_flake("is not a directory, so it is no flake"));
    }
    for directory in path.ancestors() {
        if directory.join("flake.nix").exists() {
            return Ok(directory.to_owned());
        }
        if directory.join(".git").exists() {
            break;
        }
        if directory.metadata().map_or(true, |metadata| metadata.dev() != device) {
            break;
        }
    }
    Err(not_a_flake("is not part of a flake: neither it nor a directory above it has a 'flake.nix'"))
}

/// The reference to a directory: to the repository that it is in, if it is in one.
fn around(directory: &Path, mut attrs: Attrs) -> Result<FlakeRef, FetchError> {
    let text = |path: &Path| Attr::from(path.to_string_lossy().into_owned());
    let Some(root) = directory.ancestors().find(|root| root.join(".git").exists()) else {
        attrs.insert("type".to_owned(), "path".into());
        attrs.insert("path".to_owned(), text(directory));
        return Ok(FlakeRef::from_attrs(attrs)?);
    };
    attrs.insert("type".to_owned(), "git".into());
    attrs.insert("url".to_owned(), format!("file://{}", root.display()).into());
    let below = directory.strip_prefix(root).unwrap_or(Path::new(""));
    if below != Path::new("") {
        attrs.insert("dir".to_owned(), text(below));
    }
    if root.join(".git/shallow").exists() {
        attrs.insert("shallow".to_owned(), true.into());
    }
    Ok(FlakeRef::from_attrs(attrs)?)
}

/// A reference as people may see it: without the password that its address may have.
pub fn shown(reference: &FlakeRef) -> String {
    let address = reference.text("url").and_then(|url| url::Url::parse(url).ok());
    match address.filter(|address| address.password().is_some()) {
        Some(address) => reference.clone().with("url", Some(crate::network::shown(&address).into())).to_string(),
        None => reference.to_string(),
    }
}
