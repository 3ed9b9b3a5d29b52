//! Where a target's `pkgs` comes from.

use std::path::{Path, PathBuf};

use eval::{Context, Interp, Origin, Str, Symbol, Value};
use nix_formats::store_path::StorePath;

use crate::embedded;

/// Where `pkgs` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// The set that the binary carries.
    BuiltIn,
    /// A file or directory with an expression.
    File(PathBuf),
    /// What `<name>` finds, without the angle brackets.
    SearchPath(String),
}

/// The text that makes the built-in set; `wharf` and `system` are in scope.
fn built_in_text() -> String {
    format!("import {}/default.nix {{ inherit wharf system; }}", embedded::ROOT)
}

/// Calls what a file of packages holds: nixpkgs takes `system`, `config` and `overlays`; a small set of one's own may
/// take the built-in one as `pkgs`. A set without arguments is taken as it is.
const CALL_FILE: &str = "
let
  offered = { inherit system; inherit (builtin) lib; pkgs = builtin; config = { }; overlays = [ ]; } // given;
in
if builtins.isFunction file then file (builtins.intersectAttrs (builtins.functionArgs file) offered) else file
";

/// Evaluates the package set. `wharf` is the store object of the running binary; `given` are the user's arguments.
pub(crate) fn evaluate(
    packages: &Packages,
    interp: &Interp,
    wharf: &StorePath,
    given: Value,
    directory: &Path,
) -> eval::Result<Value> {
    let path = wharf.to_absolute();
    let wharf = Value::from(Str::new(path.as_bytes(), Some(Context::single(path.as_bytes()))));
    let system = Value::string(&interp.settings().system);
    let names = [(Symbol::intern("wharf"), wharf), (Symbol::intern("system"), system)];
    let text = |text: &str, names: &[(Symbol, Value)]| {
        let origin = Origin::Text("«the choice of pkgs»".to_owned());
        interp.eval_source(origin, text.as_bytes().to_vec(), directory, names)
    };
    let built_in = text(&built_in_text(), &names)?;
    let file = match packages {
        Packages::BuiltIn => return Ok(built_in),
        Packages::File(file) => interp.eval_file(file)?,
        Packages::SearchPath(name) => text(&format!("import <{name}>"), &[])?,
    };
    let more =
        [("builtin", built_in), ("file", file), ("given", given)].map(|(name, value)| (Symbol::intern(name), value));
    text(CALL_FILE, &[names[1], more[0], more[1], more[2]])
}
