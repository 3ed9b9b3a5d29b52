//! Strings and their conversions.

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{ContextBuilder, Str, StrBuilder, Value};
use crate::interp::Coercion;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("concatStringsSep", 2, 0b11, concat_strings_sep),
    Builtin::new("replaceStrings", 3, 0b111, replace_strings),
    Builtin::new("stringLength", 1, 0b1, |interp, args| {
        let string = interp.coerce_to_string(args[0], Coercion::STRING)?;
        Ok(Value::int(string.bytes().len() as i64))
    }),
    Builtin::new("substring", 3, 0b111, substring),
    Builtin::global("toString", 1, 0b1, |interp, args| {
        Ok(interp.coerce_to_string(args[0], Coercion::TO_STRING)?.into())
    }),
];

fn concat_strings_sep(interp: &Interp, args: &[Value]) -> Result<Value> {
    let separator = interp.force_string(args[0])?;
    let items = interp.force_list(args[1])?.items();
    let mut context = ContextBuilder::default();
    context.add(separator.context());
    let mut parts: Vec<&[u8]> = Vec::with_capacity(items.len() * 2);
    for (index, item) in items.iter().enumerate() {
        let string = interp.coerce_to_string(*item, Coercion::STRING)?;
        if index > 0 {
            parts.push(separator.bytes());
        }
        parts.push(string.bytes());
        context.add(string.context());
    }
    Ok(Str::concat(&parts, context.finish()).into())
}

fn substring(interp: &Interp, args: &[Value]) -> Result<Value> {
    let start = interp.force_int(args[0])?;
    let Ok(start) = usize::try_from(start) else {
        return Err(Error::other(format!("the start {start} of 'builtins.substring' is negative")));
    };
    let length = interp.force_int(args[1])?;
    let string = interp.coerce_to_string(args[2], Coercion::STRING)?;
    let bytes = string.bytes();
    let start = start.min(bytes.len());
    // A negative length means everything up to the end.
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len() - start);
    if length == bytes.len() {
        return Ok(string.into());
    }
    Ok(string.slice(start..start + length).into())
}

/// Replaces at each place the first of the patterns that matches there. An empty pattern matches everywhere, the end
/// included. A replacement is evaluated only when it is used, and then counts for the context.
fn replace_strings(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (from, to) = (interp.force_list(args[0])?, interp.force_list(args[1])?);
    if from.len() != to.len() {
        return Err(Error::other(format!(
            "'builtins.replaceStrings' takes two lists of the same length, but they have {} and {} elements",
            from.len(),
            to.len()
        )));
    }
    let mut patterns = Vec::with_capacity(from.len());
    for pattern in from.items() {
        patterns.push(interp.force_string(*pattern)?.bytes());
    }
    let text = interp.force_string(args[2])?;
    let bytes = text.bytes();
    let starts = Starts::new(&patterns);
    let mut replacements: Vec<Option<&'static Str>> = vec![None; to.len()];
    let mut out = StrBuilder::with_capacity(bytes.len());
    out.context.add(text.context());
    let mut at = 0;
    while at <= bytes.len() {
        let candidate = starts.next(bytes, at);
        out.bytes.extend_from_slice(&bytes[at..candidate]);
        at = candidate;
        let found = patterns.iter().position(|pattern| bytes[at..].starts_with(pattern));
        if let Some(index) = found {
            let replacement = match replacements[index] {
                Some(replacement) => replacement,
                None => {
                    let replacement = interp.force_string(to.items()[index])?;
                    out.context.add(replacement.context());
                    *replacements[index].insert(replacement)
                }
            };
            out.bytes.extend_from_slice(replacement.bytes());
            at += patterns[index].len();
        }
        if found.is_none_or(|index| patterns[index].is_empty()) {
            out.bytes.extend(bytes.get(at));
            at += 1;
        }
    }
    Ok(out.finish().into())
}

/// The bytes that a pattern begins with, to skip quickly what no pattern matches.
struct Starts {
    first: [bool; 256],
    /// The only first byte, if there is one.
    single: Option<u8>,
    /// Whether there is an empty pattern, which begins with anything.
    any: bool,
}

impl Starts {
    fn new(patterns: &[&[u8]]) -> Starts {
        let mut first = [false; 256];
        patterns.iter().filter_map(|pattern| pattern.first()).for_each(|byte| first[usize::from(*byte)] = true);
        let mut set = (0..=u8::MAX).filter(|byte| first[usize::from(*byte)]);
        let single = set.next().filter(|_| set.next().is_none());
        Starts { first, single, any: patterns.iter().any(|pattern| pattern.is_empty()) }
    }

    /// The next place, from `at` on, where a pattern may match; the end of the text if there is none.
    fn next(&self, bytes: &[u8], at: usize) -> usize {
        if self.any {
            return at;
        }
        let rest = &bytes[at..];
        let found = match self.single {
            Some(byte) => memchr::memchr(byte, rest),
            None => rest.iter().position(|byte| self.first[usize::from(*byte)]),
        };
        at + found.unwrap_or(rest.len())
    }
}
