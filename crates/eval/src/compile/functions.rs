//! Functions.

use syntax::{LambdaId, Node, Span};

use super::Compiler;
use crate::error::Result;
use crate::heap::{self, Shape};
use crate::ir::{Expr, Formal, Lambda, Pattern};
use crate::position::Pos;
use crate::symbol::Symbol;

impl Compiler<'_> {
    /// A function, with the functions that it returns at once (`a: b: …`) taken into it.
    pub(super) fn lambda(&mut self, id: LambdaId, span: Span) -> Result<Expr> {
        self.scopes.enter_scope();
        let built = self.lambda_in_scope(id, span);
        let slots = self.scopes.leave();
        let mut lambda = built?;
        lambda.slots = slots;
        Ok(Expr::Lambda(heap::new(lambda)))
    }

    fn lambda_in_scope(&mut self, id: LambdaId, span: Span) -> Result<Lambda> {
        let mut current = *self.ast.lambda(id);
        let name = current.name.map(|name| self.names[name.0 as usize]);
        let mut positions = vec![self.pos(span)];
        let mut arguments = Vec::new();
        while current.formals.is_none()
            && let Some(arg) = current.arg
        {
            self.scopes.bind(arg, arguments.len() as u32);
            arguments.push(self.names[arg.0 as usize]);
            let Node::Lambda(inner) = self.ast.node(current.body) else {
                return self.finish_lambda(&arguments, None, current.body, name, &positions);
            };
            positions.push(self.node_pos(current.body));
            current = *self.ast.lambda(inner);
        }
        let pattern = self.pattern(&current, arguments.len() as u32)?;
        self.finish_lambda(&arguments, Some(pattern), current.body, name, &positions)
    }

    fn finish_lambda(
        &mut self,
        arguments: &[Symbol],
        pattern: Option<Pattern>,
        body: syntax::NodeId,
        name: Option<Symbol>,
        positions: &[Pos],
    ) -> Result<Lambda> {
        // The body of a function is evaluated once for each scope, so a `let` there can use the same one.
        let body = match self.ast.node(body) {
            Node::Let(set, inner) => self.let_here(set, inner)?,
            _ => self.expr(body)?,
        };
        let (arguments, positions) = (heap::slice_of(arguments), heap::slice_of(positions));
        Ok(Lambda { plain: arguments.len() as u32, arguments, pattern, slots: 0, body, name, positions })
    }

    fn pattern(&mut self, lambda: &syntax::Lambda, first: u32) -> Result<Pattern> {
        let mut slot = first;
        let whole = lambda.arg.map(|arg| {
            self.scopes.bind(arg, slot);
            slot += 1;
            slot - 1
        });
        let list = lambda.formals.map(|formals| self.ast.formals(formals.list).to_vec()).unwrap_or_default();
        let mut entries: Vec<(Symbol, u32, syntax::Formal)> = Vec::with_capacity(list.len());
        for formal in list {
            self.scopes.bind(formal.name, slot);
            entries.push((self.names[formal.name.0 as usize], slot, formal));
            slot += 1;
        }
        entries.sort_by_key(|(symbol, ..)| *symbol);
        let mut formals = Vec::with_capacity(entries.len());
        let mut positions = Vec::with_capacity(entries.len());
        for (name, slot, formal) in &entries {
            positions.push(self.pos(formal.span));
            let default = formal.default.map(|id| self.expr(id)).transpose()?;
            formals.push(Formal { name: *name, slot: *slot, default });
        }
        let keys = heap::slice_from_iter(entries.iter().map(|(name, ..)| *name));
        Ok(Pattern {
            formals: heap::slice_from_iter(formals),
            ellipsis: lambda.formals.is_some_and(|formals| formals.ellipsis),
            whole,
            whole_name: lambda.arg.map(|arg| self.names[arg.0 as usize]),
            shape: Shape::lasting(keys, heap::slice_of(&positions)),
        })
    }
}
