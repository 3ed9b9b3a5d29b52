//! Where a target's `pkgs` comes from: what the user says; the `nixpkgs` that the project has locked; the one of the
//! search path; the set that the binary carries.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use eval::{Context, Interp, Origin, SearchPathEntry, Str, Symbol, Value};
use nix_formats::flake_lock::LockFile;
use nix_formats::flake_ref::FlakeRef;
use nix_formats::store_path::StorePath;

use crate::embedded;
use crate::error::Error;
use crate::target::{Source, Target};

/// Where `pkgs` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// The set that the binary carries.
    BuiltIn,
    /// A file or directory with an expression.
    File(PathBuf),
    /// What `<name>` finds, without the angle brackets.
    SearchPath(String),
    /// The input `nixpkgs` of a lock file.
    Locked {
        /// The lock file.
        lock: PathBuf,
        /// What it pins.
        reference: FlakeRef,
    },
}

impl fmt::Display for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the set that Wharf carries"),
            Self::File(file) => write!(f, "'{}'", file.display()),
            Self::SearchPath(name) => write!(f, "<{name}> of the search path"),
            Self::Locked { lock, reference } => write!(f, "{reference}, as '{}' locks it", lock.display()),
        }
    }
}

/// The packages of a target for which the user has named none.
pub(crate) fn of_target(target: &Target, search_path: &[SearchPathEntry], directory: &Path) -> Result<Packages, Error> {
    let around = match &target.source {
        // A flake says itself what its inputs are.
        Source::Flake { .. } => return Ok(Packages::BuiltIn),
        Source::File(file) => file.parent().unwrap_or(Path::new("/")),
        Source::Text(_) => directory,
    };
    if let Some(locked) = locked_nixpkgs(around)? {
        return Ok(locked);
    }
    Ok(match search_path.iter().any(|entry| has_nixpkgs(entry, directory)) {
        true => Packages::SearchPath("nixpkgs".to_owned()),
        false => Packages::BuiltIn,
    })
}

/// Whether an entry of the search path leads to nixpkgs. Many systems name a channel there that nobody has fetched.
fn has_nixpkgs(entry: &SearchPathEntry, directory: &Path) -> bool {
    let path = directory.join(&entry.path);
    match (entry.prefix.as_str(), entry.is_url()) {
        ("nixpkgs", true) => true,
        ("nixpkgs", false) => path.exists(),
        ("", false) => path.join("nixpkgs").exists(),
        _ => false,
    }
}

/// The input `nixpkgs` of the nearest lock file from a directory upwards, within one repository.
fn locked_nixpkgs(directory: &Path) -> Result<Option<Packages>, Error> {
    for place in directory.ancestors() {
        let lock = place.join("flake.lock");
        match fs::read_to_string(&lock) {
            Ok(text) => return pinned(&lock, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", &lock)(error)),
        }
        if place.join(".git").exists() {
            break;
        }
    }
    Ok(None)
}

fn pinned(lock: &Path, text: &str) -> Result<Option<Packages>, Error> {
    let wrong = |error: nix_formats::flake_lock::LockError| {
        Error::target(
            format!("the lock file '{}' is wrong: {error}", lock.display()),
            "`nix flake lock` writes it anew; --pkgs names other packages",
        )
    };
    let file = LockFile::parse(text).map_err(wrong)?;
    let path = ["nixpkgs".to_owned()];
    let Ok(key) = file.find(&path) else { return Ok(None) };
    let Some(pin) = &file.node(key).map_err(wrong)?.lock else { return Ok(None) };
    let mut reference = pin.locked.clone();
    if reference.is_relative() {
        let place = lock.parent().unwrap_or(Path::new("/")).join(reference.text("path").unwrap_or_default());
        reference = reference.with("path", Some(place.to_string_lossy().into_owned().into()));
    }
    Ok(Some(Packages::Locked { lock: lock.to_owned(), reference }))
}

/// The text that makes the built-in set; `wharf` and `system` are in scope.
fn built_in_text(pins: &str) -> String {
    format!("import {}/default.nix {{ inherit wharf system; pins = {pins}; }}", embedded::ROOT)
}

/// Calls what a file of packages holds: nixpkgs takes `system`, `config` and `overlays`; a small set of one's own may
/// take the built-in one as `pkgs`. A set without arguments is taken as it is.
const CALL_FILE: &str = "
let
  offered = { inherit system; inherit (builtin) lib; pkgs = builtin; config = { }; overlays = [ ]; } // given;
in
if builtins.isFunction file then file (builtins.intersectAttrs (builtins.functionArgs file) offered) else file
";

/// Evaluates the package set. `wharf` is the store object of the running binary; `given` are the user's arguments, `pins` is an
/// expression of the digests in `wharf.lock`.
pub(crate) fn evaluate(
    packages: &Packages,
    interp: &Interp,
    wharf: &StorePath,
    given: Value,
    directory: &Path,
    pins: &str,
) -> eval::Result<Value> {
    let path = wharf.to_absolute();
    let wharf = Value::from(Str::new(path.as_bytes(), Some(Context::single(path.as_bytes()))));
    let system = Value::string(&interp.settings().system);
    let names = [(Symbol::intern("wharf"), wharf), (Symbol::intern("system"), system)];
    let text = |text: &str, names: &[(Symbol, Value)]| {
        let origin = Origin::Text("«the choice of pkgs»".to_owned());
        interp.eval_source(origin, text.as_bytes().to_vec(), directory, names)
    };
    let built_in = text(&built_in_text(pins), &names)?;
    let file = match packages {
        Packages::BuiltIn => return Ok(built_in),
        Packages::File(file) => interp.eval_file(file)?,
        Packages::SearchPath(name) => text(&format!("import <{name}>"), &[])?,
        Packages::Locked { reference, .. } => {
            let values = [("reference", reference.to_string()), ("directory", format!("/{}", reference.dir()))];
            let scope = values.map(|(name, value)| (Symbol::intern(name), Value::string(value)));
            text("import ((builtins.fetchTree reference).outPath + directory)", &scope)?
        }
    };
    let more =
        [("builtin", built_in), ("file", file), ("given", given)].map(|(name, value)| (Symbol::intern(name), value));
    text(CALL_FILE, &[names[1], more[0], more[1], more[2]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(file: &Path, search_path: &[SearchPathEntry]) -> Packages {
        let target = Target { source: Source::File(file.to_owned()), attributes: Vec::new() };
        of_target(&target, search_path, Path::new("/")).unwrap()
    }

    #[test]
    fn a_lock_file_comes_before_the_search_path_and_that_before_the_built_in_set() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("project/below")).unwrap();
        fs::create_dir(root.join("project/.git")).unwrap();
        let file = root.join("project/below/web.nix");
        let entry = SearchPathEntry { prefix: "nixpkgs".into(), path: root.display().to_string() };
        assert_eq!(packages(&file, &[]), Packages::BuiltIn);
        assert_eq!(packages(&file, std::slice::from_ref(&entry)), Packages::SearchPath("nixpkgs".into()));
        let absent = SearchPathEntry { path: root.join("channel").display().to_string(), ..entry.clone() };
        assert_eq!(packages(&file, &[absent]), Packages::BuiltIn);
        let lock = r#"{"nodes":{"root":{"inputs":{"nixpkgs":"n"}},"n":{
            "locked":{"type":"path","path":"./pkgs"},"original":{"type":"path","path":"./pkgs"},"parent":[]}},
            "root":"root","version":7}"#;
        // Outside of the repository it counts for others.
        fs::write(root.join("flake.lock"), lock).unwrap();
        assert_eq!(packages(&file, &[]), Packages::BuiltIn);
        fs::write(root.join("project/flake.lock"), lock).unwrap();
        let Packages::Locked { reference, .. } = packages(&file, &[entry]) else { panic!("the lock file is not used") };
        assert_eq!(reference.text("path"), Some(&*root.join("project/./pkgs").display().to_string()));
    }
}
