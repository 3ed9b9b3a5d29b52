//! Other files as values.

use std::path::{Path, PathBuf};

use super::Builtin;
use crate::Interp;
use crate::error::Result;
use crate::heap::{Kind, Value};
use crate::interp::paths;
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] =
    &[Builtin::global("import", 1, 0b1, import), Builtin::global("scopedImport", 2, 0b11, scoped_import)];

/// Evaluates a file whose path is resolved; what the thunks of imported files call.
static RESOLVED: Builtin = Builtin::new("import", 1, 0b1, |interp, args| {
    let Kind::Path(path) = args[0].kind() else { return Ok(args[0]) };
    interp.eval_resolved(paths::path(path.bytes()), &[])
});

/// The function that evaluates a resolved path.
pub(crate) fn import_resolved() -> &'static Value {
    static VALUE: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    VALUE.get_or_init(|| Value::builtin(&RESOLVED))
}

/// Files that come with the evaluator, below a directory that no real file can be in.
const EMBEDDED: &[(&str, &str)] = &[
    ("/__corepkgs__/call-flake.nix", include_str!("call-flake.nix")),
    // What Nix has in this file is a builtin here.
    ("/__corepkgs__/derivation.nix", "derivation"),
    ("/__corepkgs__/fetchurl.nix", include_str!("fetchurl.nix")),
];

/// The path itself, if it is that of an embedded file.
pub(crate) fn embedded_path(path: &Path) -> Option<PathBuf> {
    embedded_file(path).map(|_| path.to_owned())
}

/// The text of an embedded file.
pub(crate) fn embedded_file(path: &Path) -> Option<&'static str> {
    EMBEDDED.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| *text)
}

fn import(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.built_path(args[0])?;
    interp
        .eval_file(&path)
        .map_err(|error| error.within(format!("while importing '{}'", path.display()), crate::Pos::NONE))
}

fn scoped_import(interp: &Interp, args: &[Value]) -> Result<Value> {
    let scope: Vec<(Symbol, Value)> = interp.force_attrs(args[0])?.iter().map(|attr| (attr.name, attr.value)).collect();
    let path = interp.built_path(args[1])?;
    let path = embedded_path(&path).map_or_else(|| interp.resolve_import(&path), Ok)?;
    interp.eval_resolved(&path, &scope)
}
