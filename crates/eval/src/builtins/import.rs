//! Other files as values.

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

fn import(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.built_path(args[0])?;
    interp
        .eval_file(&path)
        .map_err(|error| error.within(format!("while importing '{}'", paths::shown(&path)), crate::Pos::NONE))
}

fn scoped_import(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.built_path(args[1])?;
    let scope: Vec<(Symbol, Value)> = interp.force_attrs(args[0])?.iter().map(|attr| (attr.name, attr.value)).collect();
    let path = interp.resolve_import(&path)?;
    interp.eval_resolved(&path, &scope)
}
