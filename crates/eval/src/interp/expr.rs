//! Evaluating expressions.

use super::{Interp, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{Attrs, Env, List, Value};
use crate::ir::{Assert, Expr, Operands, WithVar};
use crate::position::Pos;

impl Interp {
    /// The value of an expression, which is never a thunk. What is inside it may be.
    ///
    /// Most operands are constants and variables whose value is there: those cost no call.
    #[inline]
    pub(crate) fn eval(&self, expr: &'static Expr, env: &'static Env) -> Result<Value> {
        let known = match expr {
            Expr::Const(value) => value.resolved(),
            Expr::Computed(node) => Some(node.value),
            Expr::Var { depth, slot, .. } => env.up((*depth).into()).get(*slot).and_then(Value::resolved),
            Expr::Lazy(variable) => env.up(variable.depth.into()).get(variable.slot).and_then(Value::resolved),
            _ => None,
        };
        match known {
            Some(value) => Ok(value),
            None => self.compute_expr(expr, env),
        }
    }

    fn compute_expr(&self, expr: &'static Expr, env: &'static Env) -> Result<Value> {
        self.check_stack()?;
        let (mut expr, mut env) = (expr, env);
        loop {
            match expr {
                Expr::Const(value) => return self.force(*value),
                Expr::Computed(node) => return Ok(node.value),
                Expr::Var { depth, slot, pos } => {
                    let value = env.up((*depth).into()).get(*slot).ok_or_else(|| wait::infinite_recursion(None))?;
                    return self.force(value).map_err(|error| error.at(*pos));
                }
                Expr::Lazy(variable) => {
                    return self.force_variable(variable, env).map_err(|error| error.at(variable.pos));
                }
                Expr::SelectOne(node) => {
                    let base = self.eval(&node.base, env)?;
                    return self.select_known(base, &node.name);
                }
                Expr::Call(call) => return self.eval_call(call, env),
                Expr::If(node) => {
                    let condition = self.eval_bool(&node.condition, env, node.pos)?;
                    expr = if condition { &node.consequence } else { &node.alternative };
                }
                Expr::Let(node) => {
                    env = Env::new(Some(env), node.slots as usize);
                    expr = &node.body;
                }
                Expr::Attrs(literal) => return self.attrs_literal(literal, env),
                Expr::Lambda(lambda) => return Ok(Value::closure(lambda, env)),
                Expr::Interpolate(operands) => return self.interpolate(operands, env),
                Expr::Binary(operator, pair) => return self.binary(*operator, pair, env),
                Expr::Select(select) => return self.eval_select(select, env),
                Expr::HasAttr(node) => return self.has_attr(node, env),
                Expr::WithVar(variable) => return self.force(self.with_var(variable, env)?),
                Expr::With(node) => {
                    let scope = self.delay(&node.scope, env);
                    env = Env::new(Some(env), 1);
                    env.set(0, scope);
                    expr = &node.body;
                }
                Expr::Assert(node) => {
                    self.check_assertion(node, env)?;
                    expr = &node.body;
                }
                Expr::Not(node) => return Ok(Value::bool(!self.eval_bool(&node.operand, env, node.pos)?)),
                Expr::List(operands) => return Ok(self.list_literal(operands, env).into()),
                Expr::RecAttrs(node) => return self.rec_attrs(node, env),
                Expr::Update(operands) => return self.update_all(operands, env),
                Expr::ConcatLists(operands) => return self.concat_lists(operands, env),
                Expr::InterpolatePath(operands) => return self.interpolate_path(operands, env),
            }
        }
    }

    /// The value of an expression that must be a Boolean.
    pub(super) fn eval_bool(&self, expr: &'static Expr, env: &'static Env, pos: Pos) -> Result<bool> {
        match self.eval(expr, env)? {
            Value::TRUE => Ok(true),
            Value::FALSE => Ok(false),
            other => Err(super::access::expected("a Boolean", other).at(pos)),
        }
    }

    #[inline(never)]
    fn check_assertion(&self, node: &'static Assert, env: &'static Env) -> Result<()> {
        if self.eval_bool(&node.condition, env, node.pos)? {
            return Ok(());
        }
        let text = node.pos.resolve().map(|(source, span)| {
            let text = &source.text[span.start as usize..span.end as usize];
            String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ")
        });
        let message = text.map_or("assertion failed".to_owned(), |text| format!("assertion '{text}' failed"));
        Err(Error::new(ErrorKind::Assert, message).at(node.pos))
    }

    #[inline(never)]
    fn with_var(&self, variable: &'static WithVar, env: &'static Env) -> Result<Value> {
        for (index, depth) in variable.scopes.iter().enumerate() {
            let scope = self.with_scope(env.up(*depth), variable.pos)?;
            let found = match index {
                0 => scope.get_cached(variable.name, &variable.cache),
                _ => scope.get(variable.name),
            };
            if let Some(value) = found {
                return Ok(value);
            }
        }
        let mut candidates = Vec::new();
        for depth in variable.scopes {
            let scope = self.with_scope(env.up(*depth), variable.pos)?;
            candidates.extend_from_slice(scope.parts().0.keys());
        }
        let kind = ErrorKind::UndefinedVariable { name: variable.name, candidates };
        Err(Error::new(kind, format!("undefined variable '{}'", variable.name)).at(variable.pos))
    }

    fn with_scope(&self, env: &'static Env, pos: Pos) -> Result<&'static Attrs> {
        let scope = self.force(env.get(0).ok_or_else(|| wait::infinite_recursion(None))?)?;
        scope.as_attrs().ok_or_else(|| super::access::expected("a set (for 'with')", scope).at(pos))
    }

    #[inline(never)]
    fn list_literal(&self, operands: &'static Operands, env: &'static Env) -> List {
        List::build(operands.items.len(), |out| {
            for item in operands.items {
                out.push(self.delay(item, env));
            }
        })
    }

    #[inline(never)]
    fn concat_lists(&self, operands: &'static Operands, env: &'static Env) -> Result<Value> {
        // All are evaluated before the first is looked at, as in C++ Nix.
        let mut values = smallvec::SmallVec::<[Value; 8]>::new();
        for item in operands.items {
            values.push(self.eval(item, env)?);
        }
        let mut lists = smallvec::SmallVec::<[List; 8]>::new();
        for (value, pos) in values.iter().zip(operands.positions) {
            let list = self.force_list(*value).map_err(|error| error.at(*pos))?;
            if !list.is_empty() {
                lists.push(list);
            }
        }
        Ok(List::concat(&lists).into())
    }
}
