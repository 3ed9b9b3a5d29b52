//! The interpreter: one per thread, walking the code.

pub(crate) mod access;
mod call;
mod coerce;
mod compare;
mod delay;
mod expr;
mod operators;
pub(crate) mod paths;
mod select;
mod sets;
pub(crate) mod stack;
mod store_paths;
mod wait;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use syntax::Position;

use crate::builtins::Builtin;
use crate::embedded;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluator::Shared;
use crate::heap::{AttrsBuilder, Claim, Deferred, Env, SlotClaim, Thunk, Value};
use crate::host::Host;
use crate::ir::LazyVar;
use crate::position::{Origin, Pos, Source};
use crate::settings::Settings;
use crate::stats::count;
use crate::symbol::Symbol;

pub use coerce::Coercion;
pub use store_paths::ContextElement;
pub(crate) use store_paths::{parse_store_path, store_path_string};

/// A thread's evaluator. [`crate::Evaluator::run`] makes one; builtins are given it.
pub struct Interp {
    shared: Arc<Shared>,
    thread: u32,
    stack_limit: usize,
    depth: Cell<u32>,
    /// Arguments that have failed while their builtin looks at the others, and whether it has come to them.
    failed: RefCell<Vec<(Value, bool)>>,
}

static NEXT_THREAD: AtomicU32 = AtomicU32::new(1);

/// Stops evaluations from another thread.
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Makes what is being evaluated fail with [`ErrorKind::Interrupted`], and what begins before [`Stopper::reset`].
    /// What was not finished can be evaluated again. Whether this is new: it is false after a stop without a reset.
    pub fn stop(&self) -> bool {
        self.0.max_depth.swap(0, Ordering::Relaxed) != 0
    }

    /// Lets evaluations go on.
    pub fn reset(&self) {
        self.0.max_depth.store(self.0.settings.max_call_depth, Ordering::Relaxed);
    }
}

impl Interp {
    pub(crate) fn new(shared: Arc<Shared>, stack_limit: usize) -> Interp {
        let thread = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
        Interp { shared, thread, stack_limit, depth: Cell::new(0), failed: RefCell::default() }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn stack_limit(&self) -> usize {
        self.stack_limit
    }

    /// The way to the world.
    pub fn host(&self) -> &dyn Host {
        &*self.shared.host
    }

    /// How to evaluate.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The value itself if it is no thunk, else the thunk's value, computed if need be. The result is never a thunk.
    #[inline]
    pub fn force(&self, value: Value) -> Result<Value> {
        match value.as_thunk() {
            None => Ok(value),
            Some(thunk) => match thunk.value() {
                Some(value) => Ok(value),
                None => self.force_thunk(thunk),
            },
        }
    }

    fn force_thunk(&self, thunk: &'static Thunk) -> Result<Value> {
        loop {
            match thunk.claim(self.thread) {
                Claim::Done(value) => return Ok(value),
                Claim::Mine(deferred) => return self.compute(thunk, deferred),
                Claim::Running(owner) if owner == self.thread => {
                    return Err(wait::infinite_recursion(Some(thunk.state_word())));
                }
                Claim::Running(_) => wait::wait(thunk.state_word(), self.thread)?,
            }
        }
    }

    fn compute(&self, thunk: &'static Thunk, deferred: Deferred) -> Result<Value> {
        let mut result = match deferred {
            Deferred::Expr(expr, env) => self.eval(expr, env),
            Deferred::Apply(function, arg) => self.call(*function, &[arg]),
            Deferred::Apply2([function, first], second) => self.call(*function, &[*first, second]),
            Deferred::Select(name, base) => self.select_known(base, name),
        };
        let awaited = match &mut result {
            Ok(value) => thunk.finish(*value),
            Err(error) => {
                wait::note_cycle(error, thunk.state_word(), wait::place(&deferred));
                thunk.release(deferred)
            }
        };
        if awaited {
            wait::wake();
        }
        result
    }

    /// The value of a variable of a `let`, computed in its slot if need be.
    fn force_variable(&self, variable: &'static LazyVar, env: &'static Env) -> Result<Value> {
        let scope = env.up(variable.depth.into());
        loop {
            match scope.claim(variable.slot, self.thread) {
                SlotClaim::Done(value) => return self.force(value),
                SlotClaim::Mine => return self.compute_variable(variable, scope),
                SlotClaim::Running(owner) if owner == self.thread => {
                    return Err(wait::infinite_recursion(Some(scope.slot_word(variable.slot))));
                }
                SlotClaim::Running(_) => wait::wait(scope.slot_word(variable.slot), self.thread)?,
            }
        }
    }

    fn compute_variable(&self, variable: &'static LazyVar, scope: &'static Env) -> Result<Value> {
        let binding = variable.binding();
        let mut result = self.eval(binding, scope);
        let awaited = match &mut result {
            Ok(value) => scope.finish(variable.slot, *value),
            Err(error) => {
                wait::note_cycle(error, scope.slot_word(variable.slot), binding.pos());
                scope.release(variable.slot)
            }
        };
        if awaited {
            wait::wake();
        }
        result
    }

    /// A thunk for `function` applied to `arg`. The function is behind a pointer so that many thunks can share it.
    #[inline]
    pub fn defer_call(&self, function: &'static Value, arg: Value) -> Value {
        count(|counters| &counters.thunks, 1);
        Thunk::new(Deferred::Apply(function, arg)).into()
    }

    /// A thunk for a function applied to two arguments, of which it shares the first with the function.
    #[inline]
    pub fn defer_call2(&self, function_and_first: &'static [Value; 2], second: Value) -> Value {
        count(|counters| &counters.thunks, 1);
        Thunk::new(Deferred::Apply2(function_and_first, second)).into()
    }

    /// Begins a call or another step that nests. The guard ends it.
    #[inline]
    pub(crate) fn deeper(&self) -> Result<Depth<'_>> {
        let depth = self.depth.get();
        // An interrupt sets the limit to nothing, so that looking for one costs no instruction.
        if depth >= self.shared.max_depth.load(Ordering::Relaxed) {
            return Err(self.no_deeper());
        }
        self.depth.set(depth + 1);
        Ok(Depth(&self.depth))
    }

    #[cold]
    fn no_deeper(&self) -> Box<Error> {
        let max = self.settings().max_call_depth;
        if self.depth.get() < max {
            return Error::new(ErrorKind::Interrupted, "the evaluation was interrupted");
        }
        too_deep(format!("calls are nested more than {max} deep (max-call-depth); this may be an infinite recursion"))
    }

    /// A handle that stops what this evaluation does, in any of its threads.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    #[inline]
    fn check_stack(&self) -> Result<()> {
        if stack::pointer() < self.stack_limit {
            return Err(too_deep("values are nested too deeply to be computed: the stack is used up".to_owned()));
        }
        Ok(())
    }

    /// Evaluates `value` and everything in it, attributes in the order of their symbols as Nix does. Sets and lists that contain themselves are fine.
    pub fn force_deep(&self, value: Value) -> Result<Value> {
        let mut seen = rustc_hash::FxHashSet::default();
        self.force_deep_unseen(value, &mut seen)
    }

    fn force_deep_unseen(&self, value: Value, seen: &mut rustc_hash::FxHashSet<usize>) -> Result<Value> {
        use crate::heap::Kind;
        self.check_stack()?;
        let _depth = self.deeper()?;
        let value = self.force(value)?;
        match value.kind() {
            Kind::Attrs(attrs) if seen.insert(std::ptr::from_ref(attrs).addr()) => {
                for attr in attrs.iter() {
                    self.force_deep_unseen(attr.value, seen).map_err(|error| {
                        error.within(format!("while evaluating the attribute '{}'", attr.name), attr.pos)
                    })?;
                }
            }
            Kind::List(list) if seen.insert(list.address()) => {
                for item in list.items() {
                    self.force_deep_unseen(*item, seen)?;
                }
            }
            _ => {}
        }
        Ok(value)
    }
}

impl Drop for Interp {
    fn drop(&mut self) {
        self.shared.stats.take();
    }
}

pub(crate) struct Depth<'a>(&'a Cell<u32>);

impl Drop for Depth<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cold]
fn too_deep(message: String) -> Box<Error> {
    Error::new(ErrorKind::StackTooDeep, message)
}

/// `{ file; line; column; }` of a position, as `builtins.unsafeGetAttrPos` gives it; `null` for no position, or one
/// that is in no file.
pub fn pos_value(pos: Pos) -> Value {
    pos.resolve().map_or(Value::NULL, |(source, _)| position_value(source, pos))
}

pub(crate) fn position_value(source: &'static Source, pos: Pos) -> Value {
    let Origin::File(path) = &source.origin else { return Value::NULL };
    // Lines are counted for those alone that ask for them, as in Nix.
    let start = |builtin| {
        let number = Value::int(pos.number().into());
        Value::from(Thunk::new(Deferred::Apply(crate::heap::new(Value::builtin(builtin)), number)))
    };
    let mut attrs = AttrsBuilder::with_capacity(3);
    attrs.push(Symbol::FILE, Value::string(embedded::plain(paths::bytes(path))));
    attrs.push(Symbol::LINE, start(&LINE));
    attrs.push(Symbol::COLUMN, start(&COLUMN));
    attrs.finish().into()
}

static LINE: Builtin = Builtin::new("line", 1, 0b1, |interp, args| start_of(interp, args[0], |start| start.line));
static COLUMN: Builtin = Builtin::new("column", 1, 0b1, |interp, args| start_of(interp, args[0], |start| start.column));

fn start_of(interp: &Interp, pos: Value, part: fn(Position) -> u32) -> Result<Value> {
    let start = Pos::numbered(interp.force_int(pos)?).start();
    Ok(start.map_or(Value::NULL, |(_, start)| Value::int(part(start).into())))
}
