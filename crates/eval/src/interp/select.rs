//! Attributes of sets.

use super::{Interp, access};
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{Attr, Attrs, Env, Kind, Value};
use crate::ir::{HasAttr, Select, SelectName, Step};
use crate::position::Pos;
use crate::symbol::Symbol;

impl Interp {
    /// The attribute of `base`, evaluated.
    pub(super) fn select_known(&self, base: Value, name: &'static SelectName) -> Result<Value> {
        let base = self.force(base).map_err(|error| error.at(name.pos))?;
        let Some(attrs) = base.as_attrs() else { return Err(no_set(base, name.name).at(name.pos)) };
        match attrs.get_cached(name.name, &name.cache) {
            Some(value) if value.is_thunk() => {
                self.force(value).map_err(|error| in_attribute(error, attrs, name.name, name.pos))
            }
            Some(value) => Ok(value),
            None => Err(missing_attribute(attrs, name.name).at(name.pos)),
        }
    }

    #[inline(never)]
    pub(super) fn eval_select(&self, select: &'static Select, env: &'static Env) -> Result<Value> {
        let mut value = self.eval(&select.base, env)?;
        for step in select.path {
            let (name, pos) = self.step_name(step, env)?;
            let found = match (value.as_attrs(), step) {
                (Some(attrs), Step::Static(known)) => attrs.get_cached(name, &known.cache),
                (Some(attrs), Step::Dynamic(..)) => attrs.get(name),
                (None, _) => None,
            };
            value = match (found, &select.default) {
                (Some(found), _) => self.force(found).map_err(|error| error.within(evaluating(name), pos))?,
                (None, Some(default)) => return self.eval(default, env),
                (None, None) => {
                    let error = match value.as_attrs() {
                        Some(attrs) => missing_attribute(attrs, name),
                        None => no_set(value, name),
                    };
                    return Err(error.at(pos));
                }
            };
        }
        Ok(value)
    }

    #[inline(never)]
    pub(super) fn has_attr(&self, node: &'static HasAttr, env: &'static Env) -> Result<Value> {
        let mut value = self.eval(&node.base, env)?;
        for (index, step) in node.path.iter().enumerate() {
            let (name, _) = self.step_name(step, env)?;
            let found = value.as_attrs().and_then(|attrs| match step {
                Step::Static(known) => attrs.get_cached(name, &known.cache),
                Step::Dynamic(..) => attrs.get(name),
            });
            match found {
                None => return Ok(Value::FALSE),
                Some(_) if index + 1 == node.path.len() => return Ok(Value::TRUE),
                Some(found) => value = self.force(found)?,
            }
        }
        Ok(Value::TRUE)
    }

    fn step_name(&self, step: &'static Step, env: &'static Env) -> Result<(Symbol, Pos)> {
        match step {
            Step::Static(known) => Ok((known.name, known.pos)),
            Step::Dynamic(expr, pos) => {
                let name = self.eval(expr, env)?;
                let name = self.force_plain_string(name).map_err(|error| error.at(*pos))?;
                Ok((Symbol::intern(name.bytes()), *pos))
            }
        }
    }

    /// The attribute `name` of `attrs`, not evaluated, or an error that suggests other names.
    pub fn attr(&self, attrs: &'static Attrs, name: Symbol) -> Result<Attr> {
        attrs.attr(name).ok_or_else(|| missing_attribute(attrs, name))
    }

    /// Whether a value is the set of a derivation.
    pub fn is_derivation(&self, attrs: &'static Attrs) -> Result<bool> {
        let Some(kind) = attrs.get(Symbol::TYPE) else { return Ok(false) };
        Ok(matches!(self.force(kind)?.kind(), Kind::String(text) if text.bytes() == b"derivation"))
    }
}

fn evaluating(name: Symbol) -> String {
    format!("while evaluating the attribute '{name}'")
}

#[cold]
fn in_attribute(error: Box<Error>, attrs: &'static Attrs, name: Symbol, used: Pos) -> Box<Error> {
    let defined = attrs.attr(name).map(|attr| attr.pos).filter(|pos| pos.is_some());
    error.within(evaluating(name), defined.unwrap_or(used))
}

#[cold]
fn no_set(value: Value, name: Symbol) -> Box<Error> {
    Error::type_error(format!("expected a set with the attribute '{name}', but found {}", access::show(value)))
}

#[cold]
fn missing_attribute(attrs: &'static Attrs, name: Symbol) -> Box<Error> {
    let candidates = attrs.parts().0.keys().to_vec();
    Error::new(ErrorKind::MissingAttr { name, candidates }, format!("attribute '{name}' is missing"))
}
