//! A value to JSON text, in the form of the library that Nix uses: no white space, names sorted by their bytes, UTF-8
//! as it is, the shortest digits of a float that say which one it is.

use std::fmt::Write as _;

use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{Attrs, Kind, StrBuilder, Value};
use crate::interp::Coercion;
use crate::symbol::Symbol;

/// What a path becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// The path of its copy in the store, as in `builtins.toJSON`.
    CopyToStore,
    /// Itself.
    Keep,
}

/// Appends a value, evaluating all of it. What its strings refer to is added to the context.
pub fn write(interp: &Interp, value: Value, paths: Paths, out: &mut StrBuilder) -> Result<()> {
    let _depth = interp.deeper()?;
    let value = interp.force(value)?;
    match value.kind() {
        Kind::Null => out.bytes.extend_from_slice(b"null"),
        Kind::Bool(value) => out.bytes.extend_from_slice(if value { b"true" } else { b"false" }),
        Kind::Int(value) => out.bytes.extend_from_slice(value.to_string().as_bytes()),
        Kind::Float(value) => out.bytes.extend_from_slice(float(value).as_bytes()),
        Kind::String(string) => {
            write_string(string.bytes(), &mut out.bytes)?;
            out.context.add(string.context());
        }
        Kind::Path(path) => {
            let string = if paths == Paths::CopyToStore { interp.copy_to_store(path)? } else { path };
            write_string(string.bytes(), &mut out.bytes)?;
            out.context.add(string.context());
        }
        Kind::List(list) => {
            out.bytes.push(b'[');
            for (index, item) in list.items().iter().enumerate() {
                if index > 0 {
                    out.bytes.push(b',');
                }
                let place = |error: Box<Error>| {
                    error.within(
                        format!("while evaluating the list element at index {index}"),
                        crate::position::Pos::NONE,
                    )
                };
                write(interp, *item, paths, out).map_err(place)?;
            }
            out.bytes.push(b']');
        }
        Kind::Attrs(attrs) => write_attrs(interp, value, attrs, paths, out)?,
        Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) | Kind::Thunk(_) => {
            return Err(Error::type_error(format!("cannot convert {} to JSON", value.describe())));
        }
    }
    Ok(())
}

fn write_attrs(interp: &Interp, value: Value, attrs: &'static Attrs, paths: Paths, out: &mut StrBuilder) -> Result<()> {
    if let Some(to_string) = attrs.get(Symbol::TO_STRING) {
        let string = interp.call(to_string, &[value])?;
        let string = interp.coerce_to_string(string, Coercion::PATH_PART)?;
        out.context.add(string.context());
        return write_string(string.bytes(), &mut out.bytes);
    }
    if let Some(out_path) = attrs.get(Symbol::OUT_PATH) {
        return write(interp, out_path, paths, out);
    }
    out.bytes.push(b'{');
    for (index, attr) in attrs.by_name().enumerate() {
        if index > 0 {
            out.bytes.push(b',');
        }
        write_string(attr.name.bytes(), &mut out.bytes)?;
        out.bytes.push(b':');
        let place =
            |error: Box<Error>| error.within(format!("while evaluating the attribute '{}'", attr.name), attr.pos);
        write(interp, attr.value, paths, out).map_err(place)?;
    }
    out.bytes.push(b'}');
    Ok(())
}

/// Appends a string in quotes. It must be UTF-8.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let shown = String::from_utf8_lossy(bytes);
        Error::other(format!(
            "the string '{shown}' cannot be JSON: it is not UTF-8 from byte {} on",
            error.valid_up_to()
        ))
    })?;
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
    Ok(())
}

/// A float with as few digits as identify it; with `.0` if it is whole, and an exponent below 1e-4 and from 1e15 on.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mut out = mantissa.to_owned();
    let _ = write!(out, "e{sign}{:02}", exponent.abs());
    out
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_short_and_exact() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (123456789012345.0, "123456789012345.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1e+15"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "null"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }
}
