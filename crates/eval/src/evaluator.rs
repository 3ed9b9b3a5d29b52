//! What all threads of an evaluation share, and the way in.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use nix_formats::store_path::StorePath;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use syntax::Options;

use crate::builtins::{self, Derivations};
use crate::compile::{Surroundings, compile};
use crate::embedded::WithEmbedded;
use crate::error::{Error, ErrorKind, Result, SourceRef};
use crate::heap::{Attrs, Deferred, Env, Str, Thunk, Value};
use crate::host::{Host, Level};
use crate::interp::{Interp, paths, stack};
use crate::ir::Expr;
use crate::position::{Origin, Source};
use crate::report::{ReportOptions, report_warning};
use crate::settings::Settings;
use crate::stats::{Statistics, Totals};
use crate::symbol::Symbol;

/// An evaluation: a host, settings, and everything that was evaluated so far. Clones share it, and may be used in
/// several threads at once.
#[derive(Clone)]
pub struct Evaluator(Arc<Shared>);

/// The state that the threads of an evaluation share.
pub(crate) struct Shared {
    pub(crate) host: Box<dyn Host>,
    pub(crate) settings: Settings,
    /// How deep calls may nest: the setting, or nothing for a moment to stop all threads.
    pub(crate) max_depth: AtomicU32,
    pub(crate) stats: Totals,
    /// The value of each file that was imported, by its resolved path; a thunk makes the first of several threads
    /// evaluate it and the others wait.
    files: Mutex<FxHashMap<PathBuf, Value>>,
    /// The listings of directories, by path: package sets that are imported once for each system list the same ones.
    pub(crate) directories: Mutex<FxHashMap<PathBuf, &'static Attrs>>,
    /// The copies of sources, by path.
    pub(crate) copies: Mutex<FxHashMap<&'static [u8], &'static Str>>,
    /// Where the copies come from.
    pub(crate) sources: Mutex<FxHashMap<StorePath, PathBuf>>,
    /// The derivations that were made. They live as long as the heap does: taking them apart costs time for nothing.
    pub(crate) derivations: ManuallyDrop<Derivations>,
    globals: OnceLock<Globals>,
}

/// The names that every file sees.
struct Globals {
    names: FxHashMap<Symbol, Value>,
    builtins: &'static Attrs,
}

impl Evaluator {
    /// A new evaluation.
    pub fn new(host: Box<dyn Host>, settings: Settings) -> Evaluator {
        let shared = Shared {
            host: Box::new(WithEmbedded(host)),
            max_depth: AtomicU32::new(settings.max_call_depth),
            settings,
            stats: Totals::default(),
            files: Mutex::default(),
            directories: Mutex::default(),
            copies: Mutex::default(),
            sources: Mutex::default(),
            derivations: ManuallyDrop::default(),
            globals: OnceLock::new(),
        };
        let (names, builtins) = builtins::globals(&shared.settings);
        shared.globals.get_or_init(|| Globals { names, builtins });
        Evaluator(Arc::new(shared))
    }

    /// Runs `work` with an interpreter, on a thread of its own whose stack is deep enough. Must not be called from
    /// within such work; to evaluate several things at once, call it from several threads.
    pub fn run<R: Send>(&self, work: impl FnOnce(&Interp) -> R + Send) -> R {
        let shared = Arc::clone(&self.0);
        stack::run_deep(|limit| work(&Interp::new(shared, limit)))
    }

    /// The counters of all work that is done.
    pub fn statistics(&self) -> Statistics {
        self.0.stats.report()
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The host it was made with.
    pub fn host(&self) -> &dyn Host {
        &*self.0.host
    }
}

impl Shared {
    pub(crate) fn globals(&self) -> &FxHashMap<Symbol, Value> {
        &self.globals.get().expect("set before the evaluator is shared").names
    }

    pub(crate) fn builtins(&self) -> &'static Attrs {
        self.globals.get().expect("set before the evaluator is shared").builtins
    }
}

impl Interp {
    /// The value of a file; of a directory, that of its `default.nix`. Evaluated once.
    pub fn eval_file(&self, path: &Path) -> Result<Value> {
        let path = self.resolve_import(path)?;
        let value = self.file_value(path);
        self.force(value)
    }

    fn file_value(&self, path: PathBuf) -> Value {
        let mut files = self.shared().files.lock();
        if let Some(value) = files.get(&path) {
            return *value;
        }
        let value = self.defer_call(builtins::import_resolved(), Value::path(paths::bytes(&path)));
        files.insert(path, value);
        value
    }

    /// Reads, compiles and evaluates a file whose path is resolved, with the given names around it.
    pub(crate) fn eval_resolved(&self, path: &Path, scope: &[(Symbol, Value)]) -> Result<Value> {
        let text = self.host().read_file(&self.real_source(path))?;
        let base_dir = path.parent().unwrap_or(Path::new("/"));
        self.eval_source(Origin::File(path.to_owned()), text, base_dir, scope)
    }

    /// The value of a text with the given names around it. Relative paths are relative to `base_dir`.
    pub fn eval_source(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base_dir: &Path,
        scope: &[(Symbol, Value)],
    ) -> Result<Value> {
        let (expr, env) = self.closed(origin, text, base_dir, scope)?;
        self.eval(expr, env)
    }

    /// As [`Interp::eval_source`], but the value is computed when it is needed.
    pub fn defer_source(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base_dir: &Path,
        scope: &[(Symbol, Value)],
    ) -> Result<Value> {
        let (expr, env) = self.closed(origin, text, base_dir, scope)?;
        Ok(Thunk::new(Deferred::Expr(expr, env)).into())
    }

    /// The code of a text, and the environment with the given names.
    fn closed(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base_dir: &Path,
        scope: &[(Symbol, Value)],
    ) -> Result<(&'static Expr, &'static Env)> {
        let names: Vec<Symbol> = scope.iter().map(|(name, _)| *name).collect();
        let expr = self.compile(origin, text, base_dir, &names)?;
        let env = Env::new(None, scope.len());
        for (slot, (_, value)) in (0..).zip(scope) {
            env.set(slot, *value);
        }
        Ok((expr, env))
    }

    /// Checks that a text parses and that all its variables are defined.
    pub fn check(&self, origin: Origin, text: Vec<u8>, base_dir: &Path) -> Result<()> {
        self.compile(origin, text, base_dir, &[]).map(|_| ())
    }

    fn compile(&self, origin: Origin, text: Vec<u8>, base_dir: &Path, names: &[Symbol]) -> Result<&'static Expr> {
        let source = Source::register(origin, text);
        let Settings { pipe_operators, lints, .. } = *self.settings();
        let parse = syntax::parse(&source.text, Options { pipe_operators, lints });
        for warning in &parse.warnings {
            let report = report_warning(warning, source, ReportOptions::default());
            self.host().show(Level::Warning, &report);
        }
        if let Some(first) = parse.errors.first() {
            let message = first.message.clone();
            source.set_places(vec![first.span]);
            let kind = ErrorKind::Syntax { errors: parse.errors, source: Some(SourceRef(source)) };
            return Err(Error::new(kind, message).at(source.pos(0)));
        }
        let around = Surroundings {
            globals: self.shared().globals(),
            outer: names,
            base_dir,
            home: self.settings().home.as_deref().filter(|_| !self.settings().pure),
            stack_limit: self.stack_limit(),
        };
        compile(&parse.ast, parse.root, source, &around)
    }

    /// What an attribute path like `a.b."c.d".0` leads to, as `-A` takes it: sets by name, lists by number. Functions
    /// on the way are called with `args` where they name their arguments.
    pub fn attr_path(&self, value: Value, path: &str, args: &'static Attrs) -> Result<Value> {
        let value = self.select_path(value, path, args)?;
        self.auto_call(value, args)
    }

    /// As [`Interp::attr_path`], but a function at the path's end is left as it is.
    pub fn select_path(&self, value: Value, path: &str, args: &'static Attrs) -> Result<Value> {
        let mut value = value;
        for step in split_attr_path(path)? {
            value = self.auto_call(value, args)?;
            let found = match (step.parse::<usize>(), value.kind()) {
                (Ok(index), crate::heap::Kind::List(list)) => {
                    list.items().get(index).copied().ok_or_else(|| {
                        Error::other(format!("list index {index} in the path '{path}' is out of bounds"))
                    })?
                }
                _ => self.attr(self.force_attrs(value)?, Symbol::intern(&step))?.value,
            };
            value = found;
        }
        self.force(value)
    }
}

/// The steps of an attribute path; quotes keep dots in a name.
fn split_attr_path(path: &str) -> Result<Vec<String>> {
    let (mut steps, mut step, mut quoted) = (Vec::new(), String::new(), false);
    if path.is_empty() {
        return Ok(steps);
    }
    for character in path.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => steps.push(std::mem::take(&mut step)),
            other => step.push(other),
        }
    }
    if quoted {
        return Err(Error::other(format!("the quote in the attribute path '{path}' is not closed")));
    }
    steps.push(step);
    Ok(steps)
}
