//! Numbers.

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{Kind, Value};
use crate::ir::Operator;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("add", 2, 0b11, |interp, args| interp.arithmetic(Operator::Add, args[0], args[1])),
    Builtin::new("sub", 2, 0b11, |interp, args| interp.arithmetic(Operator::Sub, args[0], args[1])),
    Builtin::new("mul", 2, 0b11, |interp, args| interp.arithmetic(Operator::Mul, args[0], args[1])),
    Builtin::new("div", 2, 0b11, |interp, args| interp.arithmetic(Operator::Div, args[0], args[1])),
    Builtin::new("bitAnd", 2, 0b11, |interp, args| bits(interp, args, |a, b| a & b)),
    Builtin::new("bitOr", 2, 0b11, |interp, args| bits(interp, args, |a, b| a | b)),
    Builtin::new("bitXor", 2, 0b11, |interp, args| bits(interp, args, |a, b| a ^ b)),
    Builtin::new("lessThan", 2, 0b11, |interp, args| interp.less(args[0], args[1]).map(Value::bool)),
    Builtin::new("ceil", 1, 0b1, |_, args| round(args[0], f64::ceil)),
    Builtin::new("floor", 1, 0b1, |_, args| round(args[0], f64::floor)),
];

fn bits(interp: &Interp, args: &[Value], operation: fn(i64, i64) -> i64) -> Result<Value> {
    Ok(Value::int(operation(interp.force_int(args[0])?, interp.force_int(args[1])?)))
}

fn round(value: Value, operation: fn(f64) -> f64) -> Result<Value> {
    match value.kind() {
        // Nix takes integers for floats here, and refuses those that are not the same afterwards.
        Kind::Int(int) if i128::from(int) == int as f64 as i128 => Ok(value),
        Kind::Int(int) => Err(Error::other(format!("{int} has no exact representation as a floating-point number"))),
        Kind::Float(float) => {
            let rounded = operation(float);
            // Both bounds are exact as doubles; the upper one is the first value that does not fit.
            if rounded >= i64::MIN as f64 && rounded < -(i64::MIN as f64) {
                return Ok(Value::int(rounded as i64));
            }
            Err(Error::other(format!("{float} is not an integer that fits in 64 bits when rounded")))
        }
        _ => Err(Error::type_error(format!("expected a number, but found {}", crate::interp::access::show(value)))),
    }
}
