//! JSON (RFC 8259) to values and back, as `builtins.fromJSON` and `builtins.toJSON` have it.

mod parse;
mod write;

pub use parse::{JsonError, parse};
pub use write::{Paths, write, write_string};
