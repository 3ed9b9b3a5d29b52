//! Nix text to a syntax tree with spans.
//!
//! The second layer of the workspace: it stands on no other crate of it. [`parse`] never fails; it returns a tree and
//! the errors it found. The language is that of Nix 2.34.
//!
//! It must never know of values, scopes, files or the store: paths stay as written, names are not resolved, and what
//! Nix's own parser turns into calls (`-x`, `<nixpkgs>`) stays a node of its own.

mod ast;
mod error;
pub mod float;
mod lexer;
mod names;
mod parser;
mod position;
mod print;
mod token;

pub use ast::*;
pub use error::SyntaxError;
pub use position::{LineIndex, Position};
pub use print::{PrintPaths, is_identifier, print, print_name, print_string};

/// How deeply brackets, functions, conditionals and prefixes may nest.
pub const MAX_DEPTH: u32 = 10_000;

/// Which language is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether `|>` and `<|` are operators (Nix's experimental feature `pipe-operators`).
    pub pipe_operators: bool,
    /// What to say of constructs that are better written otherwise.
    pub lints: Lints,
}

/// What to say of constructs that are better written otherwise; nothing, unless asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// `http://example.org` without quotes.
    pub url_literals: Lint,
    /// `a/b` for `./a/b`.
    pub short_path_literals: Lint,
    /// `/a` and `~/a`.
    pub absolute_path_literals: Lint,
}

/// What to do where a lint finds something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lint {
    /// Nothing.
    #[default]
    Ignore,
    /// A warning.
    Warn,
    /// An error.
    Fatal,
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
    /// What the lints found, where that is no error.
    pub warnings: Vec<SyntaxError>,
}

/// Reads a Nix expression. It takes time linear in the text, and any thread's stack is enough.
///
/// ```
/// let parse = syntax::parse(b"{ a = 1; a = 2; }", syntax::Options::default());
/// assert_eq!(parse.errors[0].message, "the attribute 'a' is defined twice");
/// ```
pub fn parse(source: &[u8], options: Options) -> Parse {
    parser::parse(source, options)
}

/// Runs what recurses once more, on a new piece of stack if little of the thread's is left.
pub(crate) fn with_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(128 * 1024, 2 * 1024 * 1024, run)
}
