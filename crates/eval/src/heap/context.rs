//! What strings refer to in the store.

use super::arena;
use crate::symbol::Symbol;

/// What a string refers to in the store: a set of elements in the encoding of C++ Nix, sorted by symbol. An element is
/// `<path>` (a store path), `=<drv>` (a derivation with its whole closure), or `!<output>!<drv>`.
#[derive(PartialEq, Eq)]
pub struct Context(&'static [Symbol]);

impl Context {
    /// The set of `elements`, in any order; `None` if there are none.
    pub fn from_elements(mut elements: Vec<Symbol>) -> Option<&'static Context> {
        if elements.is_empty() {
            return None;
        }
        elements.sort_unstable();
        elements.dedup();
        Some(arena::new(Context(arena::slice_of(&elements))))
    }

    /// The set of one element in its encoded form.
    pub fn single(element: &[u8]) -> &'static Context {
        arena::new(Context(arena::slice_of(&[Symbol::intern(element)])))
    }

    /// The elements, sorted by symbol (which is not their order by text).
    pub fn elements(&self) -> &'static [Symbol] {
        self.0
    }

    /// The union of two contexts. Shares an operand where that is the result.
    pub fn union(a: Option<&'static Context>, b: Option<&'static Context>) -> Option<&'static Context> {
        let (Some(left), Some(right)) = (a, b) else { return a.or(b) };
        if std::ptr::eq(left, right) || is_subset(right.0, left.0) {
            return a;
        }
        if is_subset(left.0, right.0) {
            return b;
        }
        Context::from_elements(left.0.iter().chain(right.0).copied().collect())
    }
}

fn is_subset(small: &[Symbol], large: &[Symbol]) -> bool {
    small.len() <= large.len() && small.iter().all(|symbol| large.binary_search(symbol).is_ok())
}
