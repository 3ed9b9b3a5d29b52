//! Strings: bytes, and rarely a context.

use std::fmt;

use super::arena;
use crate::stats::count;
use crate::symbol::Symbol;

/// A string of the heap. Nix strings are bytes; most are UTF-8.
#[repr(C)]
pub struct Str {
    len: usize,
    context: Option<&'static Context>,
    // The bytes follow in memory.
}

/// What a string refers to in the store: a set of elements in the encoding of C++ Nix, sorted by symbol. An element is
/// `<path>` (a store path), `=<drv>` (a derivation with its whole closure), or `!<output>!<drv>`.
#[derive(PartialEq, Eq)]
pub struct Context(&'static [Symbol]);

const _: () = assert!(size_of::<Str>() == 16);

impl Str {
    /// Copies `bytes` into the heap.
    pub fn new(bytes: &[u8], context: Option<&'static Context>) -> &'static Str {
        Str::concat(&[bytes], context)
    }

    /// The concatenation of `parts`, in one allocation.
    pub fn concat(parts: &[&[u8]], context: Option<&'static Context>) -> &'static Str {
        let len = parts.iter().map(|part| part.len()).sum();
        count(|counters| &counters.strings, 1);
        count(|counters| &counters.string_bytes, len);
        let place = arena::allocate(size_of::<Str>() + len);
        // SAFETY: there is room for the header and for `len` bytes behind it, and fresh memory overlaps with nothing.
        unsafe {
            place.cast::<Str>().write(Str { len, context });
            let mut out = place.as_ptr().add(size_of::<Str>());
            for part in parts {
                std::ptr::copy_nonoverlapping(part.as_ptr(), out, part.len());
                out = out.add(part.len());
            }
            place.cast::<Str>().as_ref()
        }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&'static self) -> &'static [u8] {
        let first = std::ptr::from_ref(self).addr() + size_of::<Str>();
        // SAFETY: `concat`, the only constructor, wrote `len` bytes behind the header, in one chunk, whose provenance
        // is exposed.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(first), self.len) }
    }

    /// The text, with what is not UTF-8 replaced.
    pub fn text(&'static self) -> std::borrow::Cow<'static, str> {
        String::from_utf8_lossy(self.bytes())
    }

    /// What the string refers to; `None` if nothing.
    #[inline]
    pub fn context(&self) -> Option<&'static Context> {
        self.context
    }
}

impl fmt::Debug for &'static Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

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

/// Collects the bytes and the context of a string that is being made.
#[derive(Default)]
pub struct StrBuilder {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    /// The context so far.
    pub context: Option<&'static Context>,
}

impl StrBuilder {
    /// Appends a string with its context.
    pub fn push(&mut self, string: &'static Str) {
        self.bytes.extend_from_slice(string.bytes());
        self.add_context(string.context());
    }

    /// Adds to the context.
    pub fn add_context(&mut self, context: Option<&'static Context>) {
        self.context = Context::union(self.context, context);
    }

    /// The finished string.
    pub fn finish(self) -> &'static Str {
        Str::new(&self.bytes, self.context)
    }
}
