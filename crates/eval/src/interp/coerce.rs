//! Turning values into strings and paths.

use super::{Interp, access};
use crate::error::{Error, Result};
use crate::heap::{Attrs, Kind, Str, StrBuilder, Value};
use crate::symbol::Symbol;

/// How far a coercion to a string goes.
#[derive(Clone, Copy, Debug)]
pub struct Coercion {
    /// Whether numbers, Booleans, null and lists become strings too.
    pub more: bool,
    /// Whether a path becomes the path of its copy in the store, or stays as it is.
    pub copy_to_store: bool,
}

impl Coercion {
    /// As in `"${…}"`.
    pub const STRING: Coercion = Coercion { more: false, copy_to_store: true };
    /// As in `./a/${…}`.
    pub const PATH_PART: Coercion = Coercion { more: false, copy_to_store: false };
    /// As in `toString`.
    pub const TO_STRING: Coercion = Coercion { more: true, copy_to_store: false };
    /// As in the attributes of a derivation.
    pub const DERIVATION: Coercion = Coercion { more: true, copy_to_store: true };
}

impl Interp {
    /// The string that a value stands for, with its context.
    pub fn coerce_to_string(&self, value: Value, how: Coercion) -> Result<&'static Str> {
        self.check_stack()?;
        let value = self.force(value)?;
        match value.kind() {
            Kind::String(string) => Ok(string),
            Kind::Path(path) if how.copy_to_store => self.copy_to_store(path),
            Kind::Path(path) => Ok(crate::embedded::plain_string(path)),
            Kind::Attrs(attrs) => self.coerce_attrs(value, attrs, how),
            Kind::Null if how.more => Ok(Str::new(b"", None)),
            Kind::Bool(value) if how.more => Ok(Str::new(if value { b"1" } else { b"" }, None)),
            Kind::Int(value) if how.more => Ok(Str::new(value.to_string().as_bytes(), None)),
            Kind::Float(value) if how.more => Ok(Str::new(format!("{value:.6}").as_bytes(), None)),
            Kind::List(list) if how.more => {
                let mut out = StrBuilder::default();
                self.append_list(list.items(), how, &mut out)?;
                Ok(out.finish())
            }
            _ => Err(Error::type_error(format!("cannot coerce {} to a string", access::show(value)))),
        }
    }

    fn coerce_attrs(&self, value: Value, attrs: &'static Attrs, how: Coercion) -> Result<&'static Str> {
        if let Some(to_string) = attrs.get(Symbol::TO_STRING) {
            let string = self.call(to_string, &[value])?;
            return self.coerce_to_string(string, how);
        }
        let Some(attr) = attrs.attr(Symbol::OUT_PATH) else {
            return Err(Error::type_error(
                "cannot coerce a set to a string: it has neither the attribute 'outPath' nor '__toString'",
            ));
        };
        self.coerce_to_string(attr.value, how)
            .map_err(|error| error.within("while evaluating the attribute 'outPath'", attr.pos))
    }

    /// Appends the string that a value stands for, with its context: what is only read from there needs no string of the
    /// heap.
    pub fn append_coerced(&self, value: Value, how: Coercion, out: &mut StrBuilder) -> Result<()> {
        let value = self.force(value)?;
        if let (Kind::List(list), true) = (value.kind(), how.more) {
            self.check_stack()?;
            return self.append_list(list.items(), how, out);
        }
        out.push(self.coerce_to_string(value, how)?);
        Ok(())
    }

    fn append_list(&self, items: &[Value], how: Coercion, out: &mut StrBuilder) -> Result<()> {
        for (index, item) in items.iter().enumerate() {
            let item = self.force(*item)?;
            self.append_coerced(item, how, out)?;
            // An empty list contributes nothing, not even a separator.
            let is_empty_list = matches!(item.kind(), Kind::List(list) if list.is_empty());
            if index + 1 < items.len() && !is_empty_list {
                out.bytes.push(b' ');
            }
        }
        Ok(())
    }

    /// An absolute path, with what it refers to in the store. A set with `outPath` or `__toString` will do.
    pub fn coerce_to_path(&self, value: Value) -> Result<&'static Str> {
        let value = self.force(value)?;
        let string = match value.kind() {
            Kind::Path(path) => return Ok(path),
            Kind::Attrs(attrs) if attrs.get(Symbol::TO_STRING).is_some() => {
                let to_string = attrs.get(Symbol::TO_STRING).unwrap_or(Value::NULL);
                let inner = self.call(to_string, &[value])?;
                return self.coerce_to_path(inner);
            }
            _ => self.coerce_to_string(value, Coercion::PATH_PART)?,
        };
        if !string.bytes().starts_with(b"/") {
            return Err(Error::other(format!("the string '{}' is not an absolute path", string.text())));
        }
        Ok(string)
    }
}
