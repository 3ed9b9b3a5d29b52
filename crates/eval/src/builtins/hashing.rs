//! Hashes of strings and files, and their spellings.

use nix_formats::hash::{Hash, HashAlgo, HashFormat};

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::Value;
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("hashString", 2, 0b11, hash_string),
    Builtin::new("hashFile", 2, 0b01, hash_file),
    Builtin::new("convertHash", 1, 0b1, convert_hash),
];

fn algorithm(interp: &Interp, value: Value) -> Result<HashAlgo> {
    let name = interp.force_text(value)?;
    HashAlgo::parse(name).map_err(|error| Error::other(error.to_string()))
}

fn hash_string(interp: &Interp, args: &[Value]) -> Result<Value> {
    let algorithm = algorithm(interp, args[0])?;
    let text = interp.force_string(args[1])?;
    Ok(Value::string(Hash::of(algorithm, text.bytes()).to_hex()))
}

fn hash_file(interp: &Interp, args: &[Value]) -> Result<Value> {
    let algorithm = algorithm(interp, args[0])?;
    let path = interp.readable_path(args[1])?;
    let contents = interp.host().read_file(&path)?;
    Ok(Value::string(Hash::of(algorithm, &contents).to_hex()))
}

fn convert_hash(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    let text = interp.force_text(interp.attr(attrs, Symbol::intern("hash"))?.value)?;
    let algorithm = match attrs.get(Symbol::intern("hashAlgo")) {
        Some(value) => Some(algorithm(interp, value)?),
        None => None,
    };
    let format = match interp.force_text(interp.attr(attrs, Symbol::intern("toHashFormat"))?.value)? {
        "base16" => HashFormat::Base16,
        "nix32" | "base32" => HashFormat::Nix32,
        "base64" => HashFormat::Base64,
        "sri" => HashFormat::Sri,
        other => {
            return Err(Error::other(format!("unknown hash format '{other}': expected base16, nix32, base64 or sri")));
        }
    };
    let hash = Hash::parse(text, algorithm).map_err(|error| Error::other(error.to_string()))?;
    Ok(Value::string(hash.print(format)))
}
