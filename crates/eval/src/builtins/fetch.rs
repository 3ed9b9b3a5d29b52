//! Sources from elsewhere.

use std::collections::BTreeMap;

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{AttrsBuilder, Kind, Value};
use crate::host::{FetchRequest, FetchValue, Fetched, Fetcher};
use crate::interp::{Coercion, store_path_string};
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::global("fetchGit", 1, 0b1, |interp, args| tree(interp, Fetcher::Git, args[0])),
    Builtin::global("fetchMercurial", 1, 0b1, |interp, args| tree(interp, Fetcher::Mercurial, args[0])),
    Builtin::global("fetchTree", 1, 0b1, |interp, args| tree(interp, Fetcher::Tree, args[0])),
    Builtin::global("fetchTarball", 1, 0b1, |interp, args| object(interp, Fetcher::Tarball, args[0])),
    Builtin::new("fetchurl", 1, 0b1, |interp, args| object(interp, Fetcher::Url, args[0])),
];

/// A fetcher whose result is the store path.
fn object(interp: &Interp, fetcher: Fetcher, arg: Value) -> Result<Value> {
    let request = request(interp, fetcher, arg)?;
    if interp.settings().pure && !request.attrs.contains_key("sha256") {
        return Err(Error::other("in pure evaluation mode, fetching requires a 'sha256' argument"));
    }
    let fetched = interp.host().fetch(&request)?;
    Ok(store_path_string(&fetched.path).into())
}

/// A fetcher whose result is a set with what is known of the source.
fn tree(interp: &Interp, fetcher: Fetcher, arg: Value) -> Result<Value> {
    let fetched = interp.host().fetch(&request(interp, fetcher, arg)?)?;
    Ok(fetched_value(&fetched))
}

/// The set of a fetched source: `outPath`, `rev`, `narHash`, ….
pub(crate) fn fetched_value(fetched: &Fetched) -> Value {
    let mut attrs = AttrsBuilder::with_capacity(fetched.attrs.len() + 1);
    attrs.push(Symbol::OUT_PATH, store_path_string(&fetched.path).into());
    for (name, value) in &fetched.attrs {
        let value = match value {
            FetchValue::String(text) => Value::string(text),
            FetchValue::Int(int) => Value::int(*int),
            FetchValue::Bool(bool) => Value::bool(*bool),
        };
        attrs.push(Symbol::intern(name), value);
    }
    attrs.finish().into()
}

fn request(interp: &Interp, fetcher: Fetcher, arg: Value) -> Result<FetchRequest> {
    let mut request = FetchRequest { fetcher, attrs: BTreeMap::new() };
    let Kind::Attrs(attrs) = arg.kind() else {
        let url = interp.coerce_to_string(arg, Coercion::PATH_PART)?.text().into_owned();
        request.attrs.insert("url".to_owned(), FetchValue::String(url));
        return Ok(request);
    };
    for attr in attrs.iter() {
        let value = interp.force(attr.value)?;
        let value = match value.kind() {
            Kind::Null => continue,
            Kind::Bool(bool) => FetchValue::Bool(bool),
            Kind::Int(int) => FetchValue::Int(int),
            _ => FetchValue::String(interp.coerce_to_string(value, Coercion::PATH_PART)?.text().into_owned()),
        };
        request.attrs.insert(attr.name.text().into_owned(), value);
    }
    Ok(request)
}
