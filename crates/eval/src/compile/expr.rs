//! Expressions.

use std::sync::OnceLock;

use syntax::{BinaryOp, Key, KeyName, Name, Node, NodeId, Part, PathBase, Run, Span};

use super::Compiler;
use super::scopes::Found;
use super::sets::lazy_variable;
use crate::builtins::Builtin;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{self, Deferred, InlineCache, List, Str, Thunk, Value};
use crate::interp::paths;
use crate::ir::{
    Assert, Call, Computed, Expr, HasAttr, If, Not, Operator, Pair, Select, SelectName, SelectOne, Step, With, WithVar,
};
use crate::position::Pos;
use crate::symbol::Symbol;

impl Compiler<'_> {
    pub(super) fn expr(&mut self, id: NodeId) -> Result<Expr> {
        self.check_stack(id)?;
        let span = self.ast.span(id);
        Ok(match self.ast.node(id) {
            Node::Error => return Err(Error::other("the expression has syntax errors").at(self.pos(span))),
            Node::Int(value) => Expr::Const(Value::int(value)),
            Node::Float(value) => Expr::Const(Value::float(value)),
            Node::Str(text) => Expr::Const(Value::string(self.ast.text(text))),
            Node::Interpolation(parts) => self.interpolation(parts, span)?,
            Node::Path(base, text) => Expr::Const(self.path(base, self.ast.text(text), span)?.into_value()),
            Node::PathInterpolation(first, parts) => self.path_interpolation(first, parts, span)?,
            Node::SearchPath(text) => self.search_path(self.ast.text(text), span),
            Node::Var(name) => self.variable(name, 0, span)?,
            Node::CurPos => {
                let pos = self.pos(span);
                Expr::Const(crate::interp::position_value(self.source, pos))
            }
            Node::List(run) => self.list(run, span)?,
            Node::Attrs(set) => self.attrs(set)?,
            Node::LegacyLet(set) => {
                let base = self.attrs(set)?;
                Expr::SelectOne(heap::new(SelectOne { base, name: self.select_name(Symbol::BODY, span) }))
            }
            Node::Let(set, body) => self.let_in(set, body)?,
            Node::With(scope, body) => self.with(scope, body)?,
            Node::Assert(condition, body) => {
                let pos = self.node_pos(condition);
                let (condition, body) = (self.expr(condition)?, self.expr(body)?);
                Expr::Assert(heap::new(Assert { condition, body, pos }))
            }
            Node::If(condition, consequence, alternative) => {
                let pos = self.node_pos(condition);
                let condition = self.expr(condition)?;
                let (consequence, alternative) = (self.expr(consequence)?, self.expr(alternative)?);
                Expr::If(heap::new(If { condition, consequence, alternative, pos }))
            }
            Node::Lambda(lambda) => self.lambda(lambda, span)?,
            Node::Call(function, args) => {
                let args = self.ast.ids(args).to_vec();
                self.call(function, &args, span)?
            }
            Node::Select(base, path) => self.select(base, path, None)?,
            Node::SelectOr(base, path, default) => self.select(base, self.ast.path_run(path), Some(default))?,
            Node::HasAttr(base, path) => {
                let (base, path) = (self.expr(base)?, self.steps(path)?);
                Expr::HasAttr(heap::new(HasAttr { base, path }))
            }
            Node::Not(operand) => {
                let pos = self.node_pos(operand);
                Expr::Not(heap::new(Not { operand: self.expr(operand)?, pos }))
            }
            Node::Negate(operand) => self.negate(operand, span)?,
            Node::Binary(operator, left, right) => self.binary(operator, left, right, span)?,
        })
    }

    /// A variable, seen from `extra` levels further in than the names that are bound now.
    fn bound(&mut self, found: &Found, extra: u32, span: Span) -> Expr {
        let (depth, slot, pos) = (levels(found.depth + extra), found.slot, self.pos(span));
        match found.lazy {
            None => Expr::Var { depth, slot, pos },
            Some(lazy) => lazy_variable(lazy, depth, slot, pos),
        }
    }

    pub(super) fn variable(&mut self, name: Name, extra: u32, span: Span) -> Result<Expr> {
        if let Some(found) = self.scopes.find(name) {
            return Ok(self.bound(&found, extra, span));
        }
        let symbol = self.names[name.0 as usize];
        if let Some(value) = self.around.globals.get(&symbol) {
            return Ok(Expr::Const(*value));
        }
        let mut withs = self.scopes.withs();
        let pos = self.pos(span);
        if withs.is_empty() {
            let mut candidates: Vec<Symbol> = self.scopes.names().map(|name| self.names[name.0 as usize]).collect();
            candidates.extend(self.around.globals.keys().filter(|name| !name.bytes().starts_with(b"__")));
            let kind = ErrorKind::UndefinedVariable { name: symbol, candidates };
            return Err(Error::new(kind, format!("undefined variable '{symbol}'")).at(pos));
        }
        withs.iter_mut().for_each(|depth| *depth += extra);
        let scopes = heap::slice_of(&withs);
        Ok(Expr::WithVar(heap::new(WithVar { name: symbol, scopes, cache: InlineCache::default(), pos })))
    }

    /// What a name that the syntax implies (`__sub`, `__findFile`) means here.
    fn implied(&mut self, name: Symbol, span: Span) -> Expr {
        if let Some(found) = self.ast.find_name(name.bytes()).and_then(|name| self.scopes.find(name)) {
            return self.bound(&found, 0, span);
        }
        Expr::Const(self.around.globals.get(&name).copied().unwrap_or(Value::NULL))
    }

    fn is_rebound(&self, name: Symbol) -> bool {
        self.ast.find_name(name.bytes()).is_some_and(|name| self.scopes.binds(name))
    }

    fn with(&mut self, scope: NodeId, body: NodeId) -> Result<Expr> {
        let pos = self.node_pos(scope);
        let scope = self.expr(scope)?;
        self.scopes.enter_with();
        let body = self.expr(body);
        self.scopes.leave();
        Ok(Expr::With(heap::new(With { scope, body: body?, pos })))
    }

    fn list(&mut self, run: Run, span: Span) -> Result<Expr> {
        let ids = self.ast.ids(run);
        if ids.is_empty() {
            return Ok(Expr::Const(List::EMPTY.into()));
        }
        // A list of constants is made anew each time too: two of them are not the same when they are printed.
        Ok(Expr::List(self.operands(ids, span)?))
    }

    fn call(&mut self, function: NodeId, args: &[NodeId], span: Span) -> Result<Expr> {
        let function = self.expr(function)?;
        let args = args.iter().map(|arg| self.expr(*arg)).collect::<Result<Vec<_>>>()?;
        Ok(self.call_of(function, args, span))
    }

    fn call_of(&mut self, function: Expr, args: Vec<Expr>, span: Span) -> Expr {
        let pos = self.pos(span);
        Expr::Call(heap::new(Call { function, args: heap::slice_from_iter(args), pos }))
    }

    fn search_path(&mut self, text: &[u8], span: Span) -> Expr {
        let (function, path) = (self.implied(Symbol::FIND_FILE, span), self.implied(Symbol::NIX_PATH, span));
        self.call_of(function, vec![path, Expr::Const(Value::string(text))], span)
    }

    fn negate(&mut self, operand: NodeId, span: Span) -> Result<Expr> {
        if let Node::Int(value) = self.ast.node(operand)
            && !self.is_rebound(Symbol::SUB)
            && let Some(negated) = value.checked_neg()
        {
            return Ok(computed(Value::int(negated)));
        }
        let operand = self.expr(operand)?;
        Ok(self.arithmetic(Operator::Sub, Symbol::SUB, Expr::Const(Value::int(0)), operand, span))
    }

    fn binary(&mut self, operator: BinaryOp, left: NodeId, right: NodeId, span: Span) -> Result<Expr> {
        match operator {
            BinaryOp::Update | BinaryOp::Concat => return self.chain(operator, left, right, span),
            BinaryOp::Add => {
                return self.sum(left, right, span);
            }
            BinaryOp::PipeFrom => return self.call(left, &[right], span),
            BinaryOp::PipeInto => return self.call(right, &[left], span),
            _ => {}
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let less = Symbol::LESS_THAN;
        Ok(match operator {
            BinaryOp::Sub => self.arithmetic(Operator::Sub, Symbol::SUB, left, right, span),
            BinaryOp::Mul => self.arithmetic(Operator::Mul, Symbol::MUL, left, right, span),
            BinaryOp::Div => self.arithmetic(Operator::Div, Symbol::DIV, left, right, span),
            BinaryOp::Less if self.is_rebound(less) => self.arithmetic(Operator::Less, less, left, right, span),
            BinaryOp::Greater if self.is_rebound(less) => self.arithmetic(Operator::Less, less, right, left, span),
            BinaryOp::LessOrEqual if self.is_rebound(less) => {
                let operand = self.arithmetic(Operator::Less, less, right, left, span);
                Expr::Not(heap::new(Not { operand, pos: self.pos(span) }))
            }
            BinaryOp::GreaterOrEqual if self.is_rebound(less) => {
                let operand = self.arithmetic(Operator::Less, less, left, right, span);
                Expr::Not(heap::new(Not { operand, pos: self.pos(span) }))
            }
            _ => self.pair(plain_operator(operator), left, right, span),
        })
    }

    fn pair(&mut self, operator: Operator, left: Expr, right: Expr, span: Span) -> Expr {
        let pos = self.pos(span);
        Expr::Binary(operator, heap::new(Pair { left, right, pos }))
    }

    /// An operator that stands for a call of a variable, which the program may have bound.
    fn arithmetic(&mut self, operator: Operator, variable: Symbol, left: Expr, right: Expr, span: Span) -> Expr {
        if self.is_rebound(variable) {
            let function = self.implied(variable, span);
            return self.call_of(function, vec![left, right], span);
        }
        self.pair(operator, left, right, span)
    }

    /// `a // b // c` or `a ++ b ++ c`, which are right-associative, as one operation.
    fn chain(&mut self, operator: BinaryOp, left: NodeId, right: NodeId, span: Span) -> Result<Expr> {
        let mut ids = vec![left];
        let mut rest = right;
        while let Node::Binary(other, left, right) = self.ast.node(rest)
            && other == operator
        {
            ids.push(left);
            rest = right;
        }
        ids.push(rest);
        let operands = self.operands(&ids, span)?;
        Ok(if operator == BinaryOp::Update { Expr::Update(operands) } else { Expr::ConcatLists(operands) })
    }

    /// A sum of any length. If its first operand is certainly a string, it is an interpolation of all of them.
    fn sum(&mut self, left: NodeId, right: NodeId, span: Span) -> Result<Expr> {
        let mut operands = vec![(right, span)];
        let mut first = left;
        while let Node::Binary(BinaryOp::Add, left, right) = self.ast.node(first) {
            operands.push((right, self.ast.span(first)));
            first = left;
        }
        operands.reverse();
        if matches!(self.ast.node(first), Node::Str(_) | Node::Interpolation(_)) {
            let ids: Vec<NodeId> = std::iter::once(first).chain(operands.iter().map(|(id, _)| *id)).collect();
            return Ok(Expr::Interpolate(self.operands(&ids, span)?));
        }
        let mut sum = self.expr(first)?;
        for (operand, span) in operands {
            let operand = self.expr(operand)?;
            sum = self.pair(Operator::Add, sum, operand, span);
        }
        Ok(sum)
    }

    fn interpolation(&mut self, parts: Run, span: Span) -> Result<Expr> {
        let parts = self.ast.parts(parts).to_vec();
        let literal: Option<Vec<&[u8]>> = parts
            .iter()
            .map(|part| match part {
                Part::Str(text) => Some(self.ast.text(*text)),
                Part::Expr(_) => None,
            })
            .collect();
        if let Some(pieces) = literal {
            return Ok(Expr::Const(Str::concat(&pieces, None).into()));
        }
        let (items, positions) = self.parts(&parts, span)?;
        Ok(Expr::Interpolate(self.operands_of(items, &positions, span)))
    }

    fn parts(&mut self, parts: &[Part], span: Span) -> Result<(Vec<Expr>, Vec<Pos>)> {
        let (mut items, mut positions) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Str(text) => {
                    items.push(Expr::Const(Value::string(self.ast.text(*text))));
                    positions.push(self.pos(span));
                }
                Part::Expr(id) => {
                    items.push(self.expr(*id)?);
                    positions.push(self.node_pos(*id));
                }
            }
        }
        Ok((items, positions))
    }

    fn path_interpolation(&mut self, first: NodeId, parts: Run, span: Span) -> Result<Expr> {
        let Node::Path(base, text) = self.ast.node(first) else {
            return Err(Error::other("a path interpolation begins with a path").at(self.pos(span)));
        };
        let text = self.ast.text(text);
        let path = self.path(base, text, span)?;
        // A slash before the first `${` separates, although it is not part of a canonical path.
        let start = if text.ends_with(b"/") && path.0.bytes() != b"/" {
            Str::concat(&[path.0.bytes(), b"/"], None)
        } else {
            path.0
        };
        let parts = self.ast.parts(parts).to_vec();
        let (mut items, mut positions) = self.parts(&parts, span)?;
        items.insert(0, Expr::Const(start.into()));
        positions.insert(0, self.pos(span));
        Ok(Expr::InterpolatePath(self.operands_of(items, &positions, span)))
    }

    fn path(&mut self, base: PathBase, text: &[u8], span: Span) -> Result<PathText> {
        let absolute = match base {
            PathBase::Root => text.to_vec(),
            PathBase::File => paths::bytes(&self.absolute(paths::path(text))).to_vec(),
            PathBase::Home => match self.around.home {
                Some(home) => [paths::bytes(home), &text[1..]].concat(),
                None => {
                    let error = Error::other("a path below '~' cannot be used in pure evaluation mode");
                    return Err(error.at(self.pos(span)));
                }
            },
        };
        Ok(PathText(Str::new(&paths::canonical(&absolute), None)))
    }

    pub(super) fn select_name(&mut self, name: Symbol, span: Span) -> SelectName {
        SelectName { name, pos: self.pos(span), cache: InlineCache::default() }
    }

    fn select(&mut self, base: NodeId, path: Run, default: Option<NodeId>) -> Result<Expr> {
        let base = self.expr(base)?;
        if let ([Key { name: KeyName::Static(name), span }], None) = (self.ast.path(path), default) {
            let symbol = self.names[name.0 as usize];
            // `builtins.map` and the like are known now.
            if let Expr::Const(set) | Expr::Computed(&Computed { value: set, .. }) = base
                && let Some(value) = set.as_attrs().and_then(|attrs| attrs.get(symbol))
                && !value.is_thunk()
            {
                return Ok(computed(value));
            }
            return Ok(Expr::SelectOne(heap::new(SelectOne { base, name: self.select_name(symbol, *span) })));
        }
        let path = self.steps(path)?;
        let default = default.map(|default| self.expr(default)).transpose()?;
        Ok(Expr::Select(heap::new(Select { base, path, default })))
    }

    fn steps(&mut self, path: Run) -> Result<&'static [Step]> {
        let keys = self.ast.path(path).to_vec();
        let steps = keys.iter().map(|key| {
            Ok(match key.name {
                KeyName::Static(name) => Step::Static(self.select_name(self.names[name.0 as usize], key.span)),
                KeyName::Dynamic(id) => Step::Dynamic(self.expr(id)?, self.pos(key.span)),
            })
        });
        Ok(heap::slice_from_iter(steps.collect::<Result<Vec<_>>>()?))
    }
}

/// The text of a path literal, absolute and canonical.
struct PathText(&'static Str);

impl PathText {
    fn into_value(self) -> Value {
        Value::path(self.0.bytes())
    }
}

fn plain_operator(operator: BinaryOp) -> Operator {
    match operator {
        BinaryOp::Implies => Operator::Implies,
        BinaryOp::Or => Operator::Or,
        BinaryOp::And => Operator::And,
        BinaryOp::Equal => Operator::Equal,
        BinaryOp::NotEqual => Operator::NotEqual,
        BinaryOp::Less => Operator::Less,
        BinaryOp::LessOrEqual => Operator::LessOrEqual,
        BinaryOp::Greater => Operator::Greater,
        BinaryOp::GreaterOrEqual => Operator::GreaterOrEqual,
        BinaryOp::Sub => Operator::Sub,
        BinaryOp::Mul => Operator::Mul,
        BinaryOp::Div => Operator::Div,
        // The others are handled before.
        BinaryOp::Add | BinaryOp::Update | BinaryOp::Concat | BinaryOp::PipeFrom | BinaryOp::PipeInto => Operator::Add,
    }
}

/// The code of an expression whose value is known although it has to be computed.
fn computed(value: Value) -> Expr {
    static VALUE: Builtin = Builtin::new("computed", 1, 0, |_, args| Ok(args[0]));
    static FUNCTION: OnceLock<&'static Value> = OnceLock::new();
    let function = FUNCTION.get_or_init(|| heap::new(Value::builtin(&VALUE)));
    let delayed = Thunk::new(Deferred::Apply(function, value)).into();
    Expr::Computed(heap::new(Computed { value, delayed }))
}

/// Scopes nest no deeper than the parser lets brackets and functions nest.
fn levels(depth: u32) -> u16 {
    const { assert!(syntax::MAX_DEPTH * 2 < u16::MAX as u32) };
    depth as u16
}
