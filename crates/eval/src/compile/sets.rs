//! Attribute sets and `let`.

use syntax::{AttrSet, AttrValue, Node, NodeId, SetId};

use super::Compiler;
use super::scopes::Lazy;
use crate::error::Result;
use crate::heap::{self, Shape};
use crate::ir::{AttrsLiteral, Binding, Bindings, Dynamic, Expr, LazyVar, Let, RecAttrs, SelectOne};
use crate::position::Pos;
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
        let inherited = self.inherited(set, &in_order(set), 1)?;
        self.scopes.enter_scope();
        let built = self.let_bound(set, inherited, body, false);
        self.scopes.leave();
        built
    }

    /// `let` directly in the body of a function, in the function's scope.
    pub(super) fn let_here(&mut self, id: SetId, body: NodeId) -> Result<Expr> {
        let ast = self.ast;
        let set = ast.set(id);
        let inherited = self.inherited(set, &in_order(set), 0)?;
        let bound = self.scopes.bound_count();
        let built = self.let_bound(set, inherited, body, true);
        self.scopes.unbind_to(bound);
        built
    }

    fn let_bound(
        &mut self,
        set: &AttrSet,
        inherited: Vec<Option<Expr>>,
        body: NodeId,
        shares_scope: bool,
    ) -> Result<Expr> {
        let lazy = Lazy { bindings: heap::new(Bindings::default()), first: self.scopes.next_slot() };
        for (slot, attr) in (lazy.first..).zip(&set.attrs) {
            self.scopes.bind_lazy(attr.name, slot, lazy);
        }
        let first_source = self.scopes.next_slot();
        self.scopes.reserve(set.inherit_from.len() as u32);
        let mut values = Vec::with_capacity(set.attrs.len() + set.inherit_from.len());
        for (attr, inherited) in set.attrs.iter().zip(inherited) {
            values.push(match (attr.value, inherited) {
                (_, Some(expr)) => expr,
                (AttrValue::Expr(id) | AttrValue::Inherit(id), None) => self.expr(id)?,
                (AttrValue::InheritFrom(source), None) => {
                    let pos = self.node_pos(set.inherit_from[source as usize]);
                    let base = lazy_variable(lazy, 0, first_source + source, pos);
                    let name = self.select_name(self.names[attr.name.0 as usize], attr.span);
                    Expr::SelectOne(heap::new(SelectOne { base, name }))
                }
            });
        }
        // The sources are variables without a name: each is evaluated once for all attributes that come from it.
        for source in &set.inherit_from {
            values.push(self.expr(*source)?);
        }
        let slots = values.len() as u32;
        lazy.bindings.complete(heap::slice_from_iter(values));
        let body = self.expr(body)?;
        Ok(if shares_scope { body } else { Expr::Let(heap::new(Let { slots, body })) })
    }
}

/// The attributes as they are written.
fn in_order(set: &AttrSet) -> Vec<usize> {
    (0..set.attrs.len()).collect()
}

/// A variable of a `let`, in the scope `depth` levels up.
pub(super) fn lazy_variable(lazy: Lazy, depth: u16, slot: u32, pos: Pos) -> Expr {
    let Lazy { bindings, first } = lazy;
    Expr::Lazy(heap::new(LazyVar { bindings, index: slot - first, depth, slot, pos }))
}
