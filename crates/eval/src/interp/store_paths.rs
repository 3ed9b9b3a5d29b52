//! Paths and the store: copies of sources, contexts, and what must be built before a path can be read.

use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use nix_formats::STORE_DIR;
use nix_formats::content_address::Method;
use nix_formats::placeholder;
use nix_formats::store_path::StorePath;

use super::{Interp, paths};
use crate::embedded;
use crate::error::{Error, Result};
use crate::heap::{Context, Kind, Str, Value};
use crate::host::{CopyPath, FileType, HostError, Wanted};

/// An element of a string's context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContextElement {
    /// A store path as it is.
    Path(String),
    /// A derivation with everything it needs, and all its outputs.
    Deep(String),
    /// An output of a derivation.
    Output {
        /// The absolute path of the `.drv` file.
        derivation: String,
        /// The output's name.
        output: String,
    },
}

impl ContextElement {
    /// Decodes an element.
    pub fn parse(encoded: &[u8]) -> Option<ContextElement> {
        let text = std::str::from_utf8(encoded).ok()?;
        if let Some(path) = text.strip_prefix('=') {
            return Some(ContextElement::Deep(path.to_owned()));
        }
        if let Some(rest) = text.strip_prefix('!') {
            let (output, derivation) = rest.split_once('!')?;
            return Some(ContextElement::Output { derivation: derivation.to_owned(), output: output.to_owned() });
        }
        Some(ContextElement::Path(text.to_owned()))
    }

    /// The encoded form, as [`Context`] holds it.
    pub fn encode(&self) -> String {
        match self {
            ContextElement::Path(path) => path.clone(),
            ContextElement::Deep(path) => format!("={path}"),
            ContextElement::Output { derivation, output } => format!("!{output}!{derivation}"),
        }
    }

    /// The store path, absolute: of the object itself or of the derivation.
    pub fn path(&self) -> &str {
        match self {
            ContextElement::Path(path) | ContextElement::Deep(path) => path,
            ContextElement::Output { derivation, .. } => derivation,
        }
    }
}

impl Interp {
    /// The path of a source's copy in the store, as a string with that context. Copied once in an evaluation.
    pub fn copy_to_store(&self, path: &'static Str) -> Result<&'static Str> {
        if let Some(known) = self.shared().copies.lock().get(path.bytes()) {
            return Ok(known);
        }
        if path.bytes().ends_with(b".drv") {
            return Err(Error::other(format!(
                "cannot copy '{}' to the store: a name that ends in '.drv' is for derivations",
                path.text()
            )));
        }
        let name = paths::base_name(path.bytes());
        let name = std::str::from_utf8(name).map_err(|_| bad_name(path))?;
        let source = self.real_source(paths::path(path.bytes()));
        let copy = CopyPath { source: &source, name, method: Method::Nar, filter: None, expected: None };
        let store_path = self.host().copy_path(copy)?;
        self.remember_source(&store_path, &source);
        let string = store_path_string(&store_path);
        self.shared().copies.lock().insert(path.bytes(), string);
        Ok(string)
    }

    /// Notes where the copy of a source comes from, so that it can be read before it is written.
    pub fn remember_source(&self, store_path: &StorePath, source: &Path) {
        self.shared().sources.lock().insert(store_path.clone(), source.to_owned());
    }

    /// Where to read: a path below a store object that is the copy of a source is mapped back to the source, for the
    /// copy may not have been written (read-only evaluation), or not yet.
    pub fn real_source(&self, path: &Path) -> PathBuf {
        if !path.starts_with(STORE_DIR) {
            return path.to_owned();
        }
        let Ok((store_path, rest)) = StorePath::split_absolute(paths::bytes(path)) else { return path.to_owned() };
        match self.shared().sources.lock().get(&store_path) {
            Some(source) if rest.is_empty() => source.clone(),
            Some(source) => {
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                source.join(paths::path(rest))
            }
            None => path.to_owned(),
        }
    }

    /// A path that can be read: what it refers to is built.
    pub fn readable_path(&self, value: Value) -> Result<PathBuf> {
        Ok(self.real_source(&self.built_path(value)?))
    }

    /// The path that a value names, if it is one of the file system.
    pub fn physical_path(&self, value: Value) -> Result<PathBuf> {
        let path = paths::path(self.coerce_to_path(value)?.bytes());
        if embedded::has(paths::bytes(path)) {
            return Err(Error::other(format!("'{}' is part of Wharf and has no physical path", paths::shown(path))));
        }
        Ok(path.to_owned())
    }

    /// The path that a value names, once what it refers to is built. Where it is below the copy of a source, the copy may
    /// not be there; [`Interp::real_source`] tells what to read.
    pub fn built_path(&self, value: Value) -> Result<PathBuf> {
        let path = self.coerce_to_path(value)?;
        let is_path = matches!(self.force(value)?.kind(), Kind::Path(_));
        let replaced = self.realise_context(path)?;
        let bytes = if is_path { replaced } else { paths::canonical(&replaced) };
        Ok(paths::path(&bytes).to_owned())
    }

    /// Builds what a string refers to (import from derivation). Returns the string with the places of outputs whose
    /// paths were not known filled in.
    pub fn realise_context(&self, string: &'static Str) -> Result<Vec<u8>> {
        let Some(context) = string.context() else { return Ok(string.bytes().to_vec()) };
        let mut wanted = Vec::new();
        for symbol in context.elements() {
            let Some(element) = ContextElement::parse(symbol.bytes()) else { continue };
            let path = parse_store_path(element.path())?;
            wanted.push(match element {
                ContextElement::Output { output, .. } => Wanted::Output { derivation: path, output },
                // A source whose copy is known by its origin is read there.
                _ if self.shared().sources.lock().contains_key(&path) => continue,
                _ => Wanted::Path(path),
            });
        }
        let builds = wanted.iter().any(|wanted| matches!(wanted, Wanted::Output { .. }));
        if builds && !self.settings().import_from_derivation {
            let text = string.text();
            return Err(Error::other(format!("cannot read '{text}': building during evaluation is not allowed")));
        }
        if wanted.is_empty() {
            return Ok(string.bytes().to_vec());
        }
        let built = self.host().realise(&wanted)?;
        Ok(fill_in(string.bytes(), &wanted, &built))
    }

    /// The file to evaluate for a path: symbolic links followed, `default.nix` in a directory. A path below the copy of a
    /// source stays there, so that what is relative to it is below the copy too.
    pub fn resolve_import(&self, path: &Path) -> Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let real = self.real_source(&path);
            match self.host().file_type(&real)? {
                Some(FileType::Symlink) => {
                    let target = self.host().read_link(&real)?;
                    let joined = path.parent().unwrap_or(Path::new("/")).join(target);
                    path = paths::path(&paths::canonical(paths::bytes(&joined))).to_owned();
                }
                Some(FileType::Directory) => return Ok(path.join("default.nix")),
                Some(_) => return Ok(path),
                None => return Err(HostError::NotFound(path).into()),
            }
        }
        Err(Error::other(format!("'{}' is a symbolic link to itself, or a chain that is too long", path.display())))
    }
}

/// Puts the paths of outputs into the places of what stands for them.
fn fill_in(text: &[u8], wanted: &[Wanted], built: &[StorePath]) -> Vec<u8> {
    let mut text = text.to_vec();
    for (wanted, path) in wanted.iter().zip(built) {
        let Wanted::Output { derivation, output } = wanted else { continue };
        if let Some(placeholder) = placeholder::upstream_output(derivation, output)
            && text.contains_str(&placeholder)
        {
            text = text.replace(&placeholder, path.to_absolute());
        }
    }
    text
}

const MAX_LINKS: usize = 1024;

/// A store path as a string that refers to it.
pub fn store_path_string(path: &StorePath) -> &'static Str {
    let text = path.to_absolute();
    Str::new(text.as_bytes(), Some(Context::single(text.as_bytes())))
}

/// The store path of an absolute path right below the store.
pub fn parse_store_path(path: &str) -> Result<StorePath> {
    StorePath::from_absolute(path).map_err(|error| Error::other(error.to_string()))
}

#[cold]
fn bad_name(path: &'static Str) -> Box<Error> {
    Error::other(format!("cannot copy '{}' to the store: its name is not valid UTF-8", path.text()))
}
