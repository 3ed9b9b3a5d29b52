//! What strings refer to in the store.

use smallvec::SmallVec;

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

/// Collects contexts, without making one for each step.
#[derive(Default)]
pub struct ContextBuilder {
    /// The largest context so far.
    whole: Option<&'static Context>,
    /// The one added last: what is written one after the other often refers to the same.
    last: Option<&'static Context>,
    /// What `whole` has not, some of it several times.
    more: SmallVec<[Symbol; 8]>,
    /// How long `more` was when it had nothing twice.
    distinct: usize,
}

/// `more` is not looked through for what is there twice before it has grown by so much.
const MOST_REPEATED: usize = 64;

impl ContextBuilder {
    /// Adds the elements of a context.
    pub fn add(&mut self, context: Option<&'static Context>) {
        let Some(context) = context else { return };
        let Some(whole) = self.whole else {
            self.whole = Some(context);
            return;
        };
        if std::ptr::eq(whole, context) || self.last.is_some_and(|last| std::ptr::eq(last, context)) {
            return;
        }
        self.last = Some(context);
        if self.more.is_empty() && is_subset(whole.0, context.0) {
            self.whole = Some(context);
            return;
        }
        self.more.extend(context.0.iter().copied().filter(|element| whole.0.binary_search(element).is_err()));
        if self.more.len() > 2 * self.distinct + MOST_REPEATED {
            self.remove_repeated();
        }
    }

    fn remove_repeated(&mut self) {
        self.more.sort_unstable();
        self.more.dedup();
        self.distinct = self.more.len();
    }

    /// All elements, some of them several times.
    pub fn elements(&self) -> impl Iterator<Item = Symbol> {
        self.whole.iter().flat_map(|whole| whole.0).chain(&self.more).copied()
    }

    /// The context of all that was added; one of those if it has everything.
    pub fn finish(mut self) -> Option<&'static Context> {
        if self.more.is_empty() {
            return self.whole;
        }
        self.more.extend(self.whole.iter().flat_map(|whole| whole.0).copied());
        self.remove_repeated();
        Some(arena::new(Context(arena::slice_of(&self.more))))
    }
}

fn is_subset(small: &[Symbol], large: &[Symbol]) -> bool {
    small.len() <= large.len() && small.iter().all(|symbol| large.binary_search(symbol).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_gives_what_unions_give() {
        let symbols: Vec<Symbol> =
            (0..40).map(|number| Symbol::intern(format!("element-{number}").as_bytes())).collect();
        let mut random = 1u64;
        for _ in 0..200 {
            let (mut builder, mut union) = (ContextBuilder::default(), None);
            for _ in 0..30 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let start = (random >> 33) as usize % symbols.len();
                let end = symbols.len().min(start + (random >> 50) as usize % 6);
                let context = Context::from_elements(symbols[start..end].to_vec());
                builder.add(context);
                union = Context::union(union, context);
            }
            let expected = union.map(|union| union.elements().to_vec()).unwrap_or_default();
            let mut elements: Vec<Symbol> = builder.elements().collect();
            elements.sort_unstable();
            elements.dedup();
            assert_eq!(elements, expected);
            assert_eq!(builder.finish().map(|context| context.elements().to_vec()).unwrap_or_default(), expected);
        }
    }

    #[test]
    fn a_builder_shares_the_context_that_has_everything() {
        let (a, b) = (Symbol::intern(b"a"), Symbol::intern(b"b"));
        let (small, large) = (Context::from_elements(vec![a]), Context::from_elements(vec![a, b]));
        let mut builder = ContextBuilder::default();
        [small, large, small, None].into_iter().for_each(|context| builder.add(context));
        assert!(std::ptr::eq(builder.finish().unwrap(), large.unwrap()));
    }
}
