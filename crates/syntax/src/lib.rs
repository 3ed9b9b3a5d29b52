//! Nix text to a syntax tree with spans.
//!
//! The second layer of the workspace: it stands on no other crate of it. [`parse`] never fails; it returns a tree and
//! the errors it found. The language is that of Nix 2.34.
//!
//! It must never know of values, scopes, files or the store: paths stay as written, names are not resolved, and what
//! Nix's own parser turns into calls (`-x`, `<nixpkgs>`) stays a node of its own.

mod ast;
mod error;
mod names;
mod position;

pub use ast::*;
pub use error::SyntaxError;
pub use position::{LineIndex, Position};

/// How deeply brackets, functions, conditionals and prefixes may nest.
pub const MAX_DEPTH: u32 = 10_000;

/// Which language is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether `|>` and `<|` are operators (Nix's experimental feature `pipe-operators`).
    pub pipe_operators: bool,
}

/// What came of a text.
#[derive(Clone, Debug)]
pub struct Parse {
    /// The tree. With errors it is incomplete: places that could not be read are [`Node::Error`].
    pub ast: Ast,
    /// The expression that is the whole text.
    pub root: NodeId,
    /// The errors in the order of the text; empty when the tree is whole.
    pub errors: Vec<SyntaxError>,
}
