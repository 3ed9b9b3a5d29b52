//! Order of evaluation, errors and messages.

use super::Builtin;
use crate::Interp;
use crate::error::{Error, ErrorKind, Frame, Result};
use crate::heap::{AttrsBuilder, Kind, Value};
use crate::host::Level;
use crate::interp::Coercion;
use crate::position::Pos;
use crate::print::{self, PrintOptions};
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::global("abort", 1, 0b1, |interp, args| fail(interp, ErrorKind::Abort, args[0])),
    Builtin::global("throw", 1, 0b1, |interp, args| fail(interp, ErrorKind::Throw, args[0])),
    Builtin::new("addErrorContext", 2, 0, add_error_context),
    Builtin::new("tryEval", 1, 0, try_eval),
    Builtin::new("seq", 2, 0b01, |interp, args| interp.force(args[1])),
    Builtin::new("deepSeq", 2, 0, deep_seq),
    Builtin::new("trace", 2, 0b01, trace),
    Builtin::new("traceVerbose", 2, 0, trace_verbose),
    Builtin::new("warn", 2, 0b01, warn),
    Builtin::global("break", 1, 0, |interp, args| interp.force(args[0])),
];

fn fail(interp: &Interp, kind: ErrorKind, message: Value) -> Result<Value> {
    let message = interp.coerce_to_string(message, Coercion::STRING)?.text();
    Err(match kind {
        ErrorKind::Abort => {
            Error::new(kind, format!("evaluation aborted with the following error message: '{message}'"))
        }
        kind => Error::new(kind, message),
    })
}

fn add_error_context(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force(args[1]).map_err(|mut error| match interp.coerce_to_string(args[0], Coercion::STRING) {
        Ok(message) => {
            error.trace.push(Frame { message: message.text().into_owned(), pos: Pos::NONE, by_user: true });
            error
        }
        Err(other) => other,
    })
}

fn try_eval(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (success, value) = match interp.force(args[0]) {
        // The argument itself, so that a value printed twice is seen to be the same.
        Ok(_) => (Value::TRUE, args[0]),
        Err(error) if error.is_catchable() => (Value::FALSE, Value::FALSE),
        Err(error) => return Err(error),
    };
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.push(Symbol::SUCCESS, success);
    attrs.push(Symbol::VALUE, value);
    Ok(attrs.finish().into())
}

fn deep_seq(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_deep(args[0])?;
    interp.force(args[1])
}

fn trace(interp: &Interp, args: &[Value]) -> Result<Value> {
    let message = match args[0].kind() {
        Kind::String(text) => text.text().into_owned(),
        _ => String::from_utf8_lossy(&print::print(args[0], None, PrintOptions::TRACE)?).into_owned(),
    };
    interp.host().show(Level::Trace, &message);
    interp.force(args[1])
}

fn trace_verbose(interp: &Interp, args: &[Value]) -> Result<Value> {
    if interp.settings().trace_verbose {
        let message = interp.force(args[0])?;
        return trace(interp, &[message, args[1]]);
    }
    interp.force(args[1])
}

fn warn(interp: &Interp, args: &[Value]) -> Result<Value> {
    let message = interp.force_string(args[0])?;
    interp.host().show(Level::Warning, &message.text());
    interp.force(args[1])
}
