//! Flakes, and the references that name them.

use std::path::Path;

use nix_formats::flake_ref::{Attr, Attrs, FlakeRef};

use super::{Builtin, fetch};
use crate::Interp;
use crate::embedded::CALL_FLAKE;
use crate::error::{Error, Result};
use crate::heap::{AttrsBuilder, Kind, Value};
use crate::json;
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("getFlake", 1, 0b1, get_flake),
    Builtin::new("parseFlakeRef", 1, 0b1, parse_flake_ref),
    Builtin::new("flakeRefToString", 1, 0b1, flake_ref_to_string),
];

fn get_flake(interp: &Interp, args: &[Value]) -> Result<Value> {
    let reference = interp.force_text(args[0])?;
    let flake = interp.host().lock_flake(reference)?;
    let lock = json::parse(flake.lock_file.as_bytes())
        .map_err(|error| Error::other(format!("the lock file of the flake '{reference}' is wrong: {error}")))?;
    let mut sources = AttrsBuilder::with_capacity(flake.sources.len());
    for (key, fetched, dir) in &flake.sources {
        let mut source = AttrsBuilder::with_capacity(2);
        source.push(Symbol::intern("sourceInfo"), fetch::fetched_value(fetched));
        source.push(Symbol::intern("dir"), Value::string(dir));
        sources.push(Symbol::intern(key), source.finish().into());
    }
    let mut arguments = AttrsBuilder::with_capacity(2);
    arguments.push(Symbol::intern("lock"), lock);
    arguments.push(Symbol::intern("sources"), sources.finish().into());
    let call = interp.eval_file(Path::new(CALL_FLAKE))?;
    interp.call(call, &[arguments.finish().into()])
}

fn parse_flake_ref(interp: &Interp, args: &[Value]) -> Result<Value> {
    let text = interp.force_text(args[0])?;
    let reference = FlakeRef::parse(text).map_err(|error| Error::other(error.to_string()))?;
    // There is no directory to which a mere path could be relative.
    if let Some(Attr::String(path)) = reference.attrs().get("path")
        && !path.starts_with('/')
        && !text.starts_with("path:")
    {
        return Err(Error::other(format!("flake reference '{text}' is not an absolute path")));
    }
    let mut attrs = AttrsBuilder::with_capacity(reference.attrs().len());
    for (name, attr) in reference.attrs() {
        let value = match attr {
            Attr::Bool(value) => Value::bool(*value),
            Attr::Int(value) => Value::int(i64::try_from(*value).map_err(|_| {
                Error::other(format!("the number {value} in a flake reference does not fit in 64 bits with a sign"))
            })?),
            Attr::String(value) => Value::string(value),
        };
        attrs.push(Symbol::intern(name), value);
    }
    Ok(attrs.finish().into())
}

fn flake_ref_to_string(interp: &Interp, args: &[Value]) -> Result<Value> {
    let mut attrs = Attrs::new();
    for attr in interp.force_attrs(args[0])?.iter() {
        let value = match interp.force(attr.value)?.kind() {
            Kind::Int(value) => Attr::Int(u64::try_from(value).map_err(|_| {
                Error::other(format!("the attribute '{}' of a flake reference cannot be {value}", attr.name))
                    .at(attr.pos)
            })?),
            Kind::Bool(value) => Attr::Bool(value),
            Kind::String(text) => Attr::String(text.text().into_owned()),
            _ => {
                let found = interp.force(attr.value)?.describe();
                let message = format!("the attribute '{}' of a flake reference cannot be {found}", attr.name);
                return Err(Error::type_error(message).at(attr.pos));
            }
        };
        attrs.insert(attr.name.text().into_owned(), value);
    }
    let reference = FlakeRef::from_attrs(attrs).map_err(|error| Error::other(error.to_string()))?;
    Ok(Value::string(reference.to_string()))
}
