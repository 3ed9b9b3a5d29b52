//! The builtin functions and constants: a file for each domain, each with one table.

mod attrs;
mod context;
mod control;
mod conversion;
mod derivation;
mod fetch;
mod files;
mod flakes;
mod hashing;
mod import;
mod lists;
mod math;
mod patterns;
mod strings;
mod types;

use rustc_hash::FxHashMap;

use crate::Interp;
use crate::error::Result;
use crate::heap::{Attrs, AttrsBuilder, Deferred, List, Thunk, Value};
use crate::settings::Settings;
use crate::symbol::Symbol;

pub(crate) use derivation::Derivations;
pub(crate) use import::import_resolved;

/// The code of a builtin. The arguments are as many as its arity; those of its strict mask are evaluated.
pub type Run = fn(&Interp, &[Value]) -> Result<Value>;

/// A builtin function.
pub struct Builtin {
    /// Its name in `builtins`.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arity: u8,
    /// Bit `i` is set if argument `i` is evaluated before the call.
    pub strict: u8,
    /// Whether it is visible without `builtins.`. All others are visible with `__` before their name.
    pub global: bool,
    /// The code.
    pub run: Run,
}

impl Builtin {
    /// A row of a table.
    pub const fn new(name: &'static str, arity: u8, strict: u8, run: Run) -> Builtin {
        Builtin { name, arity, strict, global: false, run }
    }

    /// A row of a table, for a function that is visible without `builtins.`.
    pub const fn global(name: &'static str, arity: u8, strict: u8, run: Run) -> Builtin {
        Builtin { name, arity, strict, global: true, run }
    }

    /// The name that error messages and variables use.
    pub fn variable(&self) -> String {
        if self.global { self.name.to_owned() } else { format!("__{}", self.name) }
    }
}

/// All tables.
pub const TABLES: &[&[Builtin]] = &[
    attrs::TABLE,
    context::TABLE,
    control::TABLE,
    conversion::TABLE,
    derivation::TABLE,
    fetch::TABLE,
    files::TABLE,
    flakes::TABLE,
    hashing::TABLE,
    import::TABLE,
    lists::TABLE,
    math::TABLE,
    patterns::TABLE,
    strings::TABLE,
    types::TABLE,
];

/// The version of Nix whose language this is.
pub const NIX_VERSION: &str = "2.34.8";
/// The version of the language.
const LANGUAGE_VERSION: i64 = 6;

/// The set `builtins` as an attribute of itself.
static SELF: Builtin = Builtin::new("builtins", 1, 0, |interp, _| Ok(interp.shared().builtins().into()));

/// The time, asked of the host by those programs alone that want to know it.
static CURRENT_TIME: Builtin =
    Builtin::new("currentTime", 1, 0, |interp, _| Ok(Value::int(interp.host().current_time())));

/// The names that every file sees, and the set `builtins`.
pub(crate) fn globals(settings: &Settings) -> (FxHashMap<Symbol, Value>, &'static Attrs) {
    let mut names = FxHashMap::default();
    let mut set = AttrsBuilder::default();
    for builtin in TABLES.iter().copied().flatten() {
        let value = Value::builtin(builtin);
        names.insert(Symbol::intern(builtin.variable()), value);
        set.push(Symbol::intern(builtin.name), value);
    }
    for (name, value, global) in constants(settings) {
        let variable = if global { name.to_owned() } else { format!("__{name}") };
        names.insert(Symbol::intern(variable), value);
        set.push(Symbol::intern(name), value);
    }
    set.push(Symbol::BUILTINS, computed(&SELF));
    let set = set.finish();
    names.insert(Symbol::BUILTINS, set.into());
    (names, set)
}

/// A constant that is computed when it is first used.
fn computed(builtin: &'static Builtin) -> Value {
    Thunk::new(Deferred::Apply(crate::heap::new(Value::builtin(builtin)), Value::NULL)).into()
}

fn constants(settings: &Settings) -> Vec<(&'static str, Value, bool)> {
    let mut constants = vec![
        ("true", Value::TRUE, true),
        ("false", Value::FALSE, true),
        ("null", Value::NULL, true),
        ("derivation", derivation::wrapper(), true),
        ("nixVersion", Value::string(NIX_VERSION), false),
        ("langVersion", Value::int(LANGUAGE_VERSION), false),
        ("storeDir", Value::string(nix_formats::STORE_DIR), false),
        ("nixPath", search_path(settings), false),
    ];
    if !settings.pure {
        constants.push(("currentSystem", Value::string(&settings.system), false));
        constants.push(("currentTime", computed(&CURRENT_TIME), false));
    }
    constants
}

fn search_path(settings: &Settings) -> Value {
    let entries: Vec<Value> = settings
        .search_path
        .iter()
        .filter(|_| !settings.pure)
        .map(|entry| {
            let mut attrs = AttrsBuilder::with_capacity(2);
            attrs.push(Symbol::PATH, Value::string(&entry.path));
            attrs.push(Symbol::PREFIX, Value::string(&entry.prefix));
            attrs.finish().into()
        })
        .collect();
    List::new(&entries).into()
}
