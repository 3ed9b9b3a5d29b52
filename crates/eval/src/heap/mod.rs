//! The heap: one-word values and the objects they point to.
//!
//! Memory is taken from per-thread bump arenas and is never given back (`docs/decisions/0002-evaluator-heap.md` says
//! why), so a reference into it is `&'static` and is valid in every thread. All `unsafe` of this crate lives in this
//! module; what it offers to the rest of the crate is safe.

mod arena;
mod attrs;
mod buffer;
mod context;
mod env;
mod list;
mod merge;
mod shape;
mod string;
mod thunk;
mod value;

pub use arena::{allocated_bytes, new, slice_from_iter, slice_of, slice_with};
pub use attrs::{Attr, Attrs, AttrsBuilder, InlineCache};
pub use context::{Context, ContextBuilder};
pub use env::{Env, SlotClaim};
pub use list::{List, ListBuilder};
pub use shape::Shape;
pub use string::{Str, StrBuilder};
pub use thunk::{Claim, Deferred, Thunk, ThunkState, announce_waiter};
pub use value::{Boxed, Closure, Kind, PartialApp, Value};
