//! Making attribute sets and scopes.

use smallvec::SmallVec;

use super::Interp;
use crate::error::{Error, Result};
use crate::heap::{Attr, Attrs, AttrsBuilder, Env, Kind, Shape, Value};
use crate::ir::{AttrsLiteral, Binding, Dynamic, Expr, Operands, RecAttrs};
use crate::stats::count;
use crate::symbol::Symbol;

type Sources = SmallVec<[Value; 4]>;

impl Interp {
    /// Gives the slots of a recursive set's scope their values.
    fn bind(&self, literal: &'static AttrsLiteral, env: &'static Env) {
        let sources = self.sources(literal.sources, env);
        for (slot, binding) in (0..).zip(literal.bindings) {
            env.set(slot, self.binding(binding, &sources, env));
        }
    }

    /// The same for a set with `__overrides`: variables are looked up only when they are needed, since the slots
    /// change.
    fn bind_late(&self, literal: &'static AttrsLiteral, env: &'static Env) {
        let sources = self.sources(literal.sources, env);
        for (slot, binding) in (0..).zip(literal.bindings) {
            let value = match binding {
                Binding::Expr(expr @ Expr::Var { .. }) => self.suspend(expr, env),
                _ => self.binding(binding, &sources, env),
            };
            env.set(slot, value);
        }
    }

    fn sources(&self, sources: &'static [Expr], env: &'static Env) -> Sources {
        sources.iter().map(|source| self.delay(source, env)).collect()
    }

    fn binding(&self, binding: &'static Binding, sources: &[Value], env: &'static Env) -> Value {
        match binding {
            Binding::Expr(expr) => self.delay(expr, env),
            Binding::InheritFrom(source, name) => self.defer_select(name, sources[*source as usize]),
        }
    }

    #[inline(never)]
    pub(super) fn attrs_literal(&self, literal: &'static AttrsLiteral, env: &'static Env) -> Result<Value> {
        let sources = self.sources(literal.sources, env);
        let attrs = Attrs::build(literal.shape, |slot| self.binding(&literal.bindings[slot], &sources, env));
        if literal.dynamic.is_empty() {
            return Ok(attrs.into());
        }
        self.add_dynamic(attrs, literal.dynamic, env)
    }

    #[inline(never)]
    pub(super) fn rec_attrs(&self, node: &'static RecAttrs, env: &'static Env) -> Result<Value> {
        let literal = &node.attrs;
        let env = Env::new(Some(env), literal.bindings.len());
        match node.overrides {
            None => self.bind(literal, env),
            Some(_) => self.bind_late(literal, env),
        }
        let value = |slot: usize| env.get(slot as u32).unwrap_or(Value::NULL);
        let mut attrs = Attrs::build(literal.shape, value);
        if let Some(slot) = node.overrides {
            attrs = self.apply_overrides(attrs, value(slot as usize), literal.shape, env)?;
        }
        if literal.dynamic.is_empty() {
            return Ok(attrs.into());
        }
        self.add_dynamic(attrs, literal.dynamic, env)
    }

    /// `__overrides` replaces attributes, also as the other attributes of the recursive set see them.
    fn apply_overrides(
        &self,
        attrs: &'static Attrs,
        overrides: Value,
        shape: &'static Shape,
        env: &'static Env,
    ) -> Result<&'static Attrs> {
        let overrides = self.force_attrs(overrides)?;
        for attr in overrides.iter() {
            if let Some(slot) = shape.slot(attr.name) {
                env.set(slot as u32, attr.value);
            }
        }
        Ok(Attrs::update(attrs, overrides))
    }

    fn add_dynamic(&self, attrs: &'static Attrs, dynamic: &'static [Dynamic], env: &'static Env) -> Result<Value> {
        let mut all = AttrsBuilder::with_capacity(attrs.len() + dynamic.len());
        attrs.iter().for_each(|attr| all.push_attr(attr));
        let mut added: SmallVec<[Symbol; 8]> = SmallVec::new();
        for Dynamic { name, value, pos } in dynamic {
            let name = self.eval(name, env).map_err(|error| error.at(*pos))?;
            if matches!(name.kind(), Kind::Null) {
                continue;
            }
            let name = self.force_plain_string(name).map_err(|error| error.at(*pos))?;
            let name = Symbol::intern(name.bytes());
            if let Some(pos_before) = attrs.attr(name).map(|attr| attr.pos).or(added.contains(&name).then_some(*pos)) {
                let message = format!("attribute '{name}' is already defined");
                return Err(Error::other(message).at(*pos).within("the first definition", pos_before));
            }
            added.push(name);
            all.push_attr(Attr { name, value: self.delay(value, env), pos: *pos });
        }
        Ok(all.finish().into())
    }

    #[inline(never)]
    pub(super) fn update_all(&self, operands: &'static Operands, env: &'static Env) -> Result<Value> {
        // From the right, as in C++ Nix.
        let mut sets = SmallVec::<[&'static Attrs; 8]>::new();
        for (item, pos) in operands.items.iter().zip(operands.positions).rev() {
            let value = self.eval(item, env)?;
            sets.push(self.force_attrs(value).map_err(|error| error.at(*pos))?);
        }
        let Some((last, rest)) = sets.split_first() else {
            return Ok(Attrs::empty().into());
        };
        let mut result = *last;
        for set in rest {
            count(|counters| &counters.updates, 1);
            result = Attrs::update(set, result);
        }
        Ok(result.into())
    }
}
