//! Values to and from the data formats of others.

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{StrBuilder, Value};
use crate::json::{self, Paths};
use crate::xml::{self, XmlOptions};

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("fromJSON", 1, 0b1, from_json),
    Builtin::new("toJSON", 1, 0, to_json),
    Builtin::global("fromTOML", 1, 0b1, from_toml),
    Builtin::new("toXML", 1, 0, to_xml),
];

fn from_json(interp: &Interp, args: &[Value]) -> Result<Value> {
    let text = interp.force_plain_string(args[0])?;
    json::parse(text.bytes()).map_err(|error| Error::other(error.to_string()))
}

fn to_json(interp: &Interp, args: &[Value]) -> Result<Value> {
    let mut out = StrBuilder::default();
    json::write(interp, args[0], Paths::CopyToStore, &mut out)?;
    Ok(out.finish().into())
}

fn from_toml(interp: &Interp, args: &[Value]) -> Result<Value> {
    let text = interp.force_plain_string(args[0])?;
    crate::toml::parse(text.bytes(), interp.settings().toml_timestamps)
}

fn to_xml(interp: &Interp, args: &[Value]) -> Result<Value> {
    let mut out = StrBuilder::default();
    xml::write(interp, args[0], XmlOptions { strict: true, location: false }, &mut out)?;
    Ok(out.finish().into())
}
