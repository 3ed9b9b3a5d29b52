//! Names of attributes and variables as numbers, the same in every thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::heap::Str;

/// An interned name. Equal names are equal numbers; the order of the numbers is the order of first use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

const SHARDS: usize = 16;
/// Chunk `k` of the table holds `FIRST << k` names.
const FIRST: usize = 1024;
const CHUNKS: usize = 22;

type Shard = RwLock<FxHashMap<&'static [u8], u32>>;
type Chunk = OnceLock<Box<[OnceLock<&'static Str>]>>;

struct Table {
    shards: [Shard; SHARDS],
    chunks: [Chunk; CHUNKS],
    next: AtomicU32,
}

static TABLE: Table = Table {
    shards: [const { RwLock::new(FxHashMap::with_hasher(FxBuildHasher)) }; SHARDS],
    chunks: [const { OnceLock::new() }; CHUNKS],
    next: AtomicU32::new(0),
};

impl Symbol {
    /// The symbol of a name.
    pub fn intern(name: impl AsRef<[u8]>) -> Symbol {
        let name = name.as_ref();
        well_known();
        intern_raw(name)
    }

    /// The number itself.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The name as a string of the heap, made once.
    #[inline]
    pub fn string(self) -> &'static Str {
        let (chunk, index) = place(self.0);
        let entry = TABLE.chunks[chunk].get().and_then(|entries| entries[index].get());
        entry.expect("a symbol is made by interning its name")
    }

    /// The name's bytes.
    #[inline]
    pub fn bytes(self) -> &'static [u8] {
        self.string().bytes()
    }

    /// The name's text.
    pub fn text(self) -> std::borrow::Cow<'static, str> {
        self.string().text()
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::fmt::Display for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// The chunk of a symbol and the place in it.
#[inline]
fn place(id: u32) -> (usize, usize) {
    let shifted = id as usize + FIRST;
    let chunk = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (chunk, shifted - (FIRST << chunk))
}

fn intern_raw(name: &[u8]) -> Symbol {
    use std::hash::BuildHasher;
    let hash = FxBuildHasher.hash_one(name);
    let shard = &TABLE.shards[(hash >> 32) as usize % SHARDS];
    if let Some(id) = shard.read().get(name) {
        return Symbol(*id);
    }
    let mut map = shard.write();
    if let Some(id) = map.get(name) {
        return Symbol(*id);
    }
    let id = TABLE.next.fetch_add(1, Ordering::Relaxed);
    let string = Str::new(name, None);
    let (chunk, index) = place(id);
    let entries = TABLE.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| OnceLock::new()).collect());
    // Only this thread knows the number yet, so the entry is free.
    let _ = entries[index].set(string);
    map.insert(string.bytes(), id);
    Symbol(id)
}

/// Declares the names that the evaluator itself uses, as constants; they are interned first, in this order.
macro_rules! well_known_symbols {
    ($($constant:ident = $name:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Index { $($constant),* }

        #[allow(missing_docs)]
        impl Symbol {
            $(pub const $constant: Symbol = Symbol(Index::$constant as u32);)*
        }

        fn well_known() {
            static READY: OnceLock<()> = OnceLock::new();
            READY.get_or_init(|| {
                $(assert_eq!(intern_raw($name.as_bytes()), Symbol::$constant);)*
            });
        }
    };
}

well_known_symbols! {
    ALL_OUTPUTS = "allOutputs", ALLOW_SUBSTITUTES = "allowSubstitutes", ALLOWED_REFERENCES = "allowedReferences",
    ALLOWED_REQUISITES = "allowedRequisites", ARGS = "args", BODY = "body", BUILDER = "builder", BUILTINS = "builtins",
    COLUMN = "column", CONTENT_ADDRESSED = "__contentAddressed", DERIVATION = "derivation",
    DERIVATION_STRICT = "derivationStrict", DISALLOWED_REFERENCES = "disallowedReferences",
    DISALLOWED_REQUISITES = "disallowedRequisites", DRV_ATTRS = "drvAttrs", DRV_PATH = "drvPath", FILE = "file",
    FILTER = "filter", FIND_FILE = "__findFile", FUNCTION_ARGS = "__functionArgs", FUNCTOR = "__functor",
    IGNORE_NULLS = "__ignoreNulls", IMPURE = "__impure", JSON = "__json", KEY = "key", LEFT = "left",
    LESS_THAN = "__lessThan", LINE = "line", MAX_CLOSURE_SIZE = "maxClosureSize", MAX_SIZE = "maxSize", MUL = "__mul",
    DIV = "__div", NAME = "name", NIX_PATH = "__nixPath", OPERATOR = "operator", OUT = "out", OUT_PATH = "outPath",
    OUTPUT_CHECKS = "outputChecks", OUTPUT_HASH = "outputHash", OUTPUT_HASH_ALGO = "outputHashAlgo",
    OUTPUT_HASH_MODE = "outputHashMode", OUTPUT_NAME = "outputName", OUTPUTS = "outputs", OVERRIDES = "__overrides",
    PATH = "path", PREFIX = "prefix", RECURSE_FOR_DERIVATIONS = "recurseForDerivations", RECURSIVE = "recursive",
    RIGHT = "right", SHA256 = "sha256", START_SET = "startSet", STRUCTURED_ATTRS = "__structuredAttrs", SUB = "__sub",
    SUCCESS = "success", SYSTEM = "system", TO_STRING = "__toString", TYPE = "type", URL = "url", VALUE = "value",
    VERSION = "version", WRONG = "wrong",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_across_threads() {
        let names: Vec<String> = (0..5000).map(|i| format!("name{i}")).collect();
        let intern = || names.iter().map(Symbol::intern).collect::<Vec<_>>();
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(intern);
            (intern(), other.join().unwrap())
        });
        assert_eq!(a, b);
        assert!(a.iter().zip(&names).all(|(symbol, name)| symbol.bytes() == name.as_bytes()));
        assert_eq!(Symbol::intern("outPath"), Symbol::OUT_PATH);
    }
}
