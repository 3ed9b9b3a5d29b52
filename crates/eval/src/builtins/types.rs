//! What kind of value something is.

use super::Builtin;
use crate::error::{Error, Result};
use crate::heap::{Attrs, Kind, Value};

pub(super) const TABLE: &[Builtin] = &[
    Builtin::global("isNull", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Null))),
    Builtin::new("isFunction", 1, 0b1, |_, args| is(args, is_function)),
    Builtin::new("isInt", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Int(_)))),
    Builtin::new("isFloat", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Float(_)))),
    Builtin::new("isString", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::String(_)))),
    Builtin::new("isBool", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Bool(_)))),
    Builtin::new("isPath", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Path(_)))),
    Builtin::new("isList", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::List(_)))),
    Builtin::new("isAttrs", 1, 0b1, |_, args| is(args, |kind| matches!(kind, Kind::Attrs(_)))),
    Builtin::new("typeOf", 1, 0b1, |_, args| Ok(Value::string(type_name(args[0])))),
    Builtin::new("functionArgs", 1, 0b1, |_, args| function_args(args[0])),
];

fn is(args: &[Value], test: fn(Kind) -> bool) -> Result<Value> {
    Ok(Value::bool(test(args[0].kind())))
}

fn is_function(kind: Kind) -> bool {
    matches!(kind, Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_))
}

fn type_name(value: Value) -> &'static str {
    match value.kind() {
        Kind::Null => "null",
        Kind::Bool(_) => "bool",
        Kind::Int(_) => "int",
        Kind::Float(_) => "float",
        Kind::String(_) => "string",
        Kind::Path(_) => "path",
        Kind::List(_) => "list",
        Kind::Attrs(_) => "set",
        Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) | Kind::Thunk(_) => "lambda",
    }
}

fn function_args(value: Value) -> Result<Value> {
    let (lambda, given) = match value.kind() {
        Kind::Lambda(closure) => (closure.lambda, 0),
        Kind::Builtin(_) => return Ok(Attrs::empty().into()),
        Kind::Partial(partial) => match partial.function.kind() {
            Kind::Lambda(closure) => (closure.lambda, partial.args.len()),
            _ => return Ok(Attrs::empty().into()),
        },
        _ => {
            return Err(Error::type_error(format!(
                "expected a function, but found {}",
                crate::interp::access::show(value)
            )));
        }
    };
    Ok(match &lambda.pattern {
        Some(pattern) if lambda.plain as usize == given => {
            Attrs::build(pattern.shape, |slot| Value::bool(pattern.formals[slot].default.is_some())).into()
        }
        _ => Attrs::empty().into(),
    })
}
