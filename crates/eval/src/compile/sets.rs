//! Attribute sets and `let`.

use syntax::{AttrSet, AttrValue, Node, NodeId, SetId};

use super::Compiler;
use crate::error::Result;
use crate::heap::{self, Shape};
use crate::ir::{AttrsLiteral, Binding, Dynamic, Expr, Let, RecAttrs};
use crate::symbol::Symbol;

impl Compiler<'_> {
    pub(super) fn attrs(&mut self, id: SetId) -> Result<Expr> {
        // The tree outlives the borrow of `self` that compiling its parts needs.
        let ast = self.ast;
        let set = ast.set(id);
        let mut order: Vec<usize> = (0..set.attrs.len()).collect();
        order.sort_by_key(|index| self.names[set.attrs[*index].name.0 as usize]);
        let keys: Vec<Symbol> = order.iter().map(|index| self.names[set.attrs[*index].name.0 as usize]).collect();
        let positions: Vec<_> = order.iter().map(|index| self.pos(set.attrs[*index].span)).collect();
        let shape = Shape::lasting(heap::slice_of(&keys), heap::slice_of(&positions));
        if set.recursive {
            return self.rec_attrs(set, &order, shape);
        }
        let literal = self.literal(set, &order, shape, 0)?;
        Ok(Expr::Attrs(heap::new(literal)))
    }

    fn rec_attrs(&mut self, set: &AttrSet, order: &[usize], shape: &'static Shape) -> Result<Expr> {
        let inherited = self.inherited(set, order, 1)?;
        self.scopes.enter_scope();
        for (slot, index) in order.iter().enumerate() {
            self.scopes.bind(set.attrs[*index].name, slot as u32);
        }
        let literal = self.literal_with(set, order, shape, inherited);
        self.scopes.leave();
        let overrides = shape.slot(Symbol::OVERRIDES).map(|slot| slot as u32);
        Ok(Expr::RecAttrs(heap::new(RecAttrs { attrs: literal?, overrides })))
    }

    fn literal(&mut self, set: &AttrSet, order: &[usize], shape: &'static Shape, extra: u32) -> Result<AttrsLiteral> {
        let inherited = self.inherited(set, order, extra)?;
        self.literal_with(set, order, shape, inherited)
    }

    fn literal_with(
        &mut self,
        set: &AttrSet,
        order: &[usize],
        shape: &'static Shape,
        inherited: Vec<Option<Expr>>,
    ) -> Result<AttrsLiteral> {
        let (bindings, sources) = self.bindings(set, order, inherited)?;
        let mut dynamic = Vec::with_capacity(set.dynamic.len());
        for attr in &set.dynamic {
            let pos = self.pos(attr.span);
            dynamic.push(Dynamic { name: self.expr(attr.name)?, value: self.expr(attr.value)?, pos });
        }
        Ok(AttrsLiteral { shape, bindings, sources, dynamic: heap::slice_from_iter(dynamic) })
    }

    /// What `inherit x` means for each attribute that is one, resolved around the set but evaluated `extra` levels
    /// further in.
    fn inherited(&mut self, set: &AttrSet, order: &[usize], extra: u32) -> Result<Vec<Option<Expr>>> {
        let mut inherited = Vec::with_capacity(order.len());
        for index in order {
            inherited.push(match set.attrs[*index].value {
                AttrValue::Inherit(id) => match self.ast.node(id) {
                    Node::Var(name) => Some(self.variable(name, extra, self.ast.span(id))?),
                    _ => Some(self.expr(id)?),
                },
                _ => None,
            });
        }
        Ok(inherited)
    }

    fn bindings(
        &mut self,
        set: &AttrSet,
        order: &[usize],
        inherited: Vec<Option<Expr>>,
    ) -> Result<(&'static [Binding], &'static [Expr])> {
        let sources = set.inherit_from.iter().map(|id| self.expr(*id)).collect::<Result<Vec<_>>>()?;
        let mut bindings = Vec::with_capacity(order.len());
        for (index, inherited) in order.iter().zip(inherited) {
            let attr = &set.attrs[*index];
            bindings.push(match (attr.value, inherited) {
                (_, Some(expr)) => Binding::Expr(expr),
                (AttrValue::Expr(id) | AttrValue::Inherit(id), None) => Binding::Expr(self.expr(id)?),
                (AttrValue::InheritFrom(source), None) => {
                    let name = self.names[attr.name.0 as usize];
                    Binding::InheritFrom(source, self.select_name(name, attr.span))
                }
            });
        }
        Ok((heap::slice_from_iter(bindings), heap::slice_from_iter(sources)))
    }

    /// `let` in a scope of its own.
    pub(super) fn let_in(&mut self, id: SetId, body: NodeId) -> Result<Expr> {
        let ast = self.ast;
        let set = ast.set(id);
        let order: Vec<usize> = (0..set.attrs.len()).collect();
        let inherited = self.inherited(set, &order, 1)?;
        self.scopes.enter_scope();
        let built = self.let_bound(set, &order, inherited, body, false);
        self.scopes.leave();
        built
    }

    /// `let` directly in the body of a function, in the function's scope.
    pub(super) fn let_here(&mut self, id: SetId, body: NodeId) -> Result<Expr> {
        let ast = self.ast;
        let set = ast.set(id);
        let order: Vec<usize> = (0..set.attrs.len()).collect();
        let inherited = self.inherited(set, &order, 0)?;
        let bound = self.scopes.bound_count();
        let built = self.let_bound(set, &order, inherited, body, true);
        self.scopes.unbind_to(bound);
        built
    }

    fn let_bound(
        &mut self,
        set: &AttrSet,
        order: &[usize],
        inherited: Vec<Option<Expr>>,
        body: NodeId,
        shares_scope: bool,
    ) -> Result<Expr> {
        let first = self.scopes.next_slot();
        for (index, attr) in set.attrs.iter().enumerate() {
            self.scopes.bind(attr.name, first + index as u32);
        }
        let (bindings, sources) = self.bindings(set, order, inherited)?;
        let body = self.expr(body)?;
        Ok(Expr::Let(heap::new(Let { first, shares_scope, bindings, sources, body })))
    }
}
