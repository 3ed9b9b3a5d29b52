//! Syntax tree to values: the Nix evaluator.
//!
//! **Layer.** Above `syntax` and `nix-formats`. Text becomes a tree (`syntax`), the tree becomes code with every
//! variable resolved ([`ir`], `compile`), and an [`Interp`] walks the code, one in each thread, over a heap of one-word
//! values ([`heap`]) that all threads share. The builtin functions are rows of tables ([`builtins`]), a file for each
//! domain.
//!
//! **It must never know** a store, a network, a terminal or the process's environment: its only way to the world is
//! the trait [`Host`], which is given paths and answers with bytes, and decides what an evaluation may see.
//!
//! The language is that of Nix 2.34; what it hashes is exact to the byte, so that the same expression gives the same
//! derivation path as C++ Nix.

pub mod builtins;
mod compile;
mod embedded;
mod error;
mod evaluator;
pub mod heap;
mod host;
mod interp;
pub mod ir;
pub mod json;
mod position;
pub mod print;
pub mod read_only;
pub mod regex;
pub mod report;
mod settings;
mod stats;
mod symbol;
pub mod toml;
pub mod version;
pub mod xml;

pub use error::{Cycle, Error, ErrorKind, Frame, Result, SourceRef};
pub use evaluator::Evaluator;
pub use heap::{Attr, Attrs, AttrsBuilder, Context, Kind, List, Str, StrBuilder, Value};
pub use host::{
    CopyPath, FetchRequest, FetchValue, Fetched, Fetcher, FileType, Filter, Host, HostError, Level, LockedFlake, Wanted,
};
pub use interp::{Coercion, ContextElement, Interp, Stopper, pos_value};
pub use position::{Origin, Pos, Source};
pub use settings::{SearchPathEntry, Settings};
pub use stats::Statistics;
pub use symbol::Symbol;
