//! Regular expressions and versions: strings taken apart.

use std::ops::Range;

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{AttrsBuilder, List, Value};
use crate::regex::{self, Invalid, Regex};
use crate::symbol::Symbol;
use crate::version;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("match", 2, 0b11, match_whole),
    Builtin::new("split", 2, 0b11, split),
    Builtin::new("compareVersions", 2, 0b11, compare_versions),
    Builtin::new("splitVersion", 1, 0b1, split_version),
    Builtin::new("parseDrvName", 1, 0b1, parse_drv_name),
];

fn pattern(interp: &Interp, value: Value) -> Result<&'static Regex> {
    let pattern = interp.force_plain_string(value)?;
    regex::compiled(pattern.bytes()).map_err(|invalid| {
        let what = match invalid {
            Invalid::Syntax => "invalid regular expression",
            Invalid::TooLarge => "memory limit exceeded by regular expression",
        };
        Error::other(format!("{what} '{}': {invalid}", pattern.text()))
    })
}

fn groups(text: &[u8], groups: &[Option<Range<usize>>]) -> Value {
    let list = List::build(groups.len(), |out| {
        for group in groups {
            out.push(group.clone().map_or(Value::NULL, |range| Value::string(&text[range])));
        }
    });
    list.into()
}

fn match_whole(interp: &Interp, args: &[Value]) -> Result<Value> {
    let regex = pattern(interp, args[0])?;
    let text = interp.force_string(args[1])?.bytes();
    Ok(regex.match_whole(text).map_or(Value::NULL, |found| groups(text, &found)))
}

fn split(interp: &Interp, args: &[Value]) -> Result<Value> {
    let regex = pattern(interp, args[0])?;
    let text = interp.force_string(args[1])?.bytes();
    let found = regex.find_all(text);
    if found.is_empty() {
        return Ok(Value::list(&args[1..2]));
    }
    let list = List::build(2 * found.len() + 1, |out| {
        let mut end = 0;
        for found in &found {
            out.push(Value::string(&text[end..found.range.start]));
            out.push(groups(text, &found.groups));
            end = found.range.end;
        }
        out.push(Value::string(&text[end..]));
    });
    Ok(list.into())
}

fn compare_versions(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (left, right) = (interp.force_plain_string(args[0])?, interp.force_plain_string(args[1])?);
    Ok(Value::int(version::compare(left.bytes(), right.bytes()) as i64))
}

fn split_version(interp: &Interp, args: &[Value]) -> Result<Value> {
    let version = interp.force_plain_string(args[0])?;
    let components: Vec<Value> = version::components(version.bytes()).map(Value::string).collect();
    Ok(Value::list(&components))
}

fn parse_drv_name(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (name, version) = version::split_name(interp.force_plain_string(args[0])?.bytes());
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.push(Symbol::NAME, Value::string(name));
    attrs.push(Symbol::intern("version"), Value::string(version));
    Ok(attrs.finish().into())
}
