//! Values of a wanted type, or an error that says what was found.

use super::Interp;
use crate::error::{Error, Result};
use crate::heap::{Attrs, Kind, List, Str, Value};
use crate::print::{self, PrintOptions};

impl Interp {
    /// An integer.
    pub fn force_int(&self, value: Value) -> Result<i64> {
        let value = self.force(value)?;
        match value.kind() {
            Kind::Int(int) => Ok(int),
            _ => Err(expected("an integer", value)),
        }
    }

    /// A Boolean.
    pub fn force_bool(&self, value: Value) -> Result<bool> {
        match self.force(value)? {
            Value::TRUE => Ok(true),
            Value::FALSE => Ok(false),
            other => Err(expected("a Boolean", other)),
        }
    }

    /// A string; it may have a context.
    pub fn force_string(&self, value: Value) -> Result<&'static Str> {
        let value = self.force(value)?;
        match value.kind() {
            Kind::String(string) => Ok(string),
            _ => Err(expected("a string", value)),
        }
    }

    /// A string without context.
    pub fn force_plain_string(&self, value: Value) -> Result<&'static Str> {
        let string = self.force_string(value)?;
        let Some(context) = string.context() else { return Ok(string) };
        let element = context.elements()[0];
        Err(Error::other(format!(
            "the string '{}' is not allowed to refer to a store path (such as '{}')",
            string.text(),
            super::ContextElement::parse(element.bytes()).map_or(element.text().into_owned(), |e| e.path().to_owned()),
        )))
    }

    /// A string without context, as text.
    pub fn force_text(&self, value: Value) -> Result<&'static str> {
        let string = self.force_plain_string(value)?;
        std::str::from_utf8(string.bytes()).map_err(|_| Error::other(format!("'{}' is not valid UTF-8", string.text())))
    }

    /// A list.
    pub fn force_list(&self, value: Value) -> Result<List> {
        let value = self.force(value)?;
        match value.kind() {
            Kind::List(list) => Ok(list),
            _ => Err(expected("a list", value)),
        }
    }

    /// A set.
    #[inline]
    pub fn force_attrs(&self, value: Value) -> Result<&'static Attrs> {
        let value = self.force(value)?;
        value.as_attrs().ok_or_else(|| expected("a set", value))
    }

    /// A function, or a set that can be called.
    pub fn force_function(&self, value: Value) -> Result<Value> {
        let value = self.force(value)?;
        match value.kind() {
            Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) => Ok(value),
            Kind::Attrs(attrs) if attrs.get(crate::Symbol::FUNCTOR).is_some() => Ok(value),
            _ => Err(expected("a function", value)),
        }
    }
}

#[cold]
pub(super) fn expected(wanted: &str, found: Value) -> Box<Error> {
    Error::type_error(format!("expected {wanted}, but found {}", show(found)))
}

/// What a value is, with the value itself where it is short, as "the integer 1" or "a set".
#[cold]
pub(crate) fn show(value: Value) -> String {
    const LONGEST: usize = 60;
    let noun = match value.kind() {
        Kind::Null => return "null".to_owned(),
        Kind::Bool(_) => "Boolean",
        Kind::Int(_) => "integer",
        Kind::Float(_) => "float",
        Kind::String(_) => "string",
        Kind::Path(_) => "path",
        Kind::List(_) => "list",
        Kind::Attrs(_) => "set",
        Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) => "function",
        Kind::Thunk(_) => return value.describe().to_owned(),
    };
    match print::print(value, None, PrintOptions::MESSAGE) {
        Ok(text) if text.len() <= LONGEST => format!("the {noun} {}", String::from_utf8_lossy(&text)),
        _ => value.describe().to_owned(),
    }
}
