//! Values for expressions that are not needed yet.
//!
//! A thunk costs its memory, the memory of the scope it keeps, and a detour for whoever wants its value; so where the
//! value is at hand there is none; and for arguments, neither where the value is computed faster than a thunk is made and
//! cannot fail. In sets and lists that could be seen, as printing shows what is evaluated and what is not. Lists and
//! functions are told apart by identity, so those are only taken from where C++ Nix takes them too.

use super::Interp;
use crate::heap::{Deferred, Env, Kind, Thunk, Value};
use crate::ir::{Expr, LazyVar, Operator, Pair, SelectName, Step, WithVar};
use crate::stats::count;

impl Interp {
    /// A value for an expression that is not needed yet: a thunk, unless the value is at hand.
    #[inline]
    pub(super) fn delay(&self, expr: &'static Expr, env: &'static Env) -> Value {
        let known = match expr {
            Expr::Const(value) => Some(*value),
            Expr::Computed(node) => Some(node.delayed),
            // No value yet: the scope is being set up.
            Expr::Var { depth, slot, .. } => env.up((*depth).into()).get(*slot),
            Expr::Lambda(lambda) => return Value::closure(lambda, env),
            Expr::Lazy(variable) => return self.delay_variable(expr, variable, env),
            Expr::WithVar(variable) => of_with(variable, env),
            _ => None,
        };
        match known {
            Some(value) => {
                count(|counters| &counters.thunks_avoided, 1);
                value
            }
            None => self.suspend(expr, env),
        }
    }

    /// The same for a variable of a `let`. Whoever shares it before it is needed gets one thunk, which stays in its slot.
    #[inline]
    fn delay_variable(&self, expr: &'static Expr, variable: &'static LazyVar, env: &'static Env) -> Value {
        let scope = env.up(variable.depth.into());
        let known = match scope.get(variable.slot) {
            None if scope.is_empty(variable.slot) => self.share_variable(variable, scope),
            known => known,
        };
        match known {
            Some(value) => {
                count(|counters| &counters.thunks_avoided, 1);
                value
            }
            // It is being computed.
            None => self.suspend(expr, env),
        }
    }

    fn share_variable(&self, variable: &'static LazyVar, scope: &'static Env) -> Option<Value> {
        let value = match variable.binding() {
            // Variables that stand for each other in a circle are an error of whoever needs one.
            binding @ Expr::Lazy(_) => self.suspend(binding, scope),
            binding => self.delay(binding, scope),
        };
        scope.offer(variable.slot, value)
    }

    /// The same for the argument of a function.
    #[inline]
    pub(super) fn delay_argument(&self, expr: &'static Expr, env: &'static Env) -> Value {
        let known = match expr {
            Expr::Computed(node) => Some(node.value),
            Expr::SelectOne(_) | Expr::Select(_) => at_hand(expr, env).filter(|value| may_be_shared(*value)),
            Expr::Binary(operator @ (Operator::Add | Operator::Sub), pair) => small_sum(*operator, pair, env),
            _ => return self.delay(expr, env),
        };
        match known {
            Some(value) => {
                count(|counters| &counters.thunks_avoided, 1);
                value
            }
            None => self.suspend(expr, env),
        }
    }

    #[inline]
    pub(super) fn suspend(&self, expr: &'static Expr, env: &'static Env) -> Value {
        count(|counters| &counters.thunks, 1);
        Thunk::new(Deferred::Expr(expr, env)).into()
    }

    /// The same for the attribute `name` of `base`.
    pub(super) fn defer_select(&self, name: &'static SelectName, base: Value) -> Value {
        count(|counters| &counters.thunks, 1);
        Thunk::new(Deferred::Select(name, base)).into()
    }
}

/// The value of a variable or of an attribute of one, if nothing needs to be computed for it.
#[inline]
fn at_hand(expr: &'static Expr, env: &'static Env) -> Option<Value> {
    match expr {
        Expr::Const(value) => value.resolved(),
        Expr::Computed(node) => Some(node.value),
        Expr::Var { depth, slot, .. } => env.up((*depth).into()).get(*slot)?.resolved(),
        Expr::Lazy(variable) => env.up(variable.depth.into()).get(variable.slot)?.resolved(),
        Expr::SelectOne(node) => attribute(at_hand(&node.base, env)?, &node.name),
        Expr::Select(node) => node.path.iter().try_fold(at_hand(&node.base, env)?, |base, step| match step {
            Step::Static(name) => attribute(base, name),
            Step::Dynamic(..) => None,
        }),
        _ => None,
    }
}

#[inline]
fn attribute(base: Value, name: &'static SelectName) -> Option<Value> {
    base.as_attrs()?.get_cached(name.name, &name.cache)?.resolved()
}

/// Whether a value may stand where C++ Nix has a copy of it: what is compared or printed by identity may not.
fn may_be_shared(value: Value) -> bool {
    matches!(value.kind(), Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::String(_) | Kind::Path(_) | Kind::Attrs(_))
}

/// The variable, evaluated or not, if the innermost `with` is evaluated and has it.
fn of_with(variable: &'static WithVar, env: &'static Env) -> Option<Value> {
    let scope = env.up(*variable.scopes.first()?).get(0)?.resolved()?;
    scope.as_attrs()?.get_cached(variable.name, &variable.cache)
}

/// The sum or difference of integers that are at hand and too small to overflow.
#[inline]
fn small_sum(operator: Operator, pair: &'static Pair, env: &'static Env) -> Option<Value> {
    let left = at_hand(&pair.left, env)?.as_small_int()?;
    let right = at_hand(&pair.right, env)?.as_small_int()?;
    Some(Value::int(if operator == Operator::Add { left + right } else { left - right }))
}
