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
                for variable in REGISTERED {
                    intern_raw(variable.as_bytes());
                    intern_raw(variable.strip_prefix("__").unwrap_or(variable).as_bytes());
                }
                for name in DERIVATION_NAMES {
                    intern_raw(name.as_bytes());
                }
            });
        }
    };
}

// The order of the numbers can be seen: it is the order in which `==` and `deepSeq` evaluate the attributes of a set, and
// so decides which of several errors comes first. It is that of Nix 2.34: these names, then those of the builtins as
// Nix registers them, then those of the function `derivation`, then all others as they are first met.
well_known_symbols! {
    WITH = "<with>", OUT_PATH = "outPath", DRV_PATH = "drvPath", TYPE = "type", META = "meta", NAME = "name",
    VALUE = "value", SYSTEM = "system", OVERRIDES = "__overrides", OUTPUTS = "outputs", OUTPUT_NAME = "outputName",
    IGNORE_NULLS = "__ignoreNulls", FILE = "file", LINE = "line", COLUMN = "column", FUNCTOR = "__functor",
    TO_STRING = "__toString", RIGHT = "right", WRONG = "wrong", STRUCTURED_ATTRS = "__structuredAttrs",
    JSON = "__json", ALLOWED_REFERENCES = "allowedReferences", ALLOWED_REQUISITES = "allowedRequisites",
    DISALLOWED_REFERENCES = "disallowedReferences", DISALLOWED_REQUISITES = "disallowedRequisites",
    MAX_SIZE = "maxSize", MAX_CLOSURE_SIZE = "maxClosureSize", BUILDER = "builder", ARGS = "args",
    CONTENT_ADDRESSED = "__contentAddressed", IMPURE = "__impure", OUTPUT_HASH = "outputHash",
    OUTPUT_HASH_ALGO = "outputHashAlgo", OUTPUT_HASH_MODE = "outputHashMode",
    RECURSE_FOR_DERIVATIONS = "recurseForDerivations", DESCRIPTION = "description", SELF = "self", EMPTY = "",
    START_SET = "startSet", OPERATOR = "operator", KEY = "key", PATH = "path", PREFIX = "prefix",
    OUTPUT_SPECIFIED = "outputSpecified", SUB = "__sub", LESS_THAN = "__lessThan", MUL = "__mul", DIV = "__div",
    OR = "or", FIND_FILE = "__findFile", NIX_PATH = "__nixPath", BODY = "body",
    // Nix meets these two when it first needs them; few sets that are compared have them.
    ALL_OUTPUTS = "allOutputs", SUCCESS = "success",
    BUILTINS = "builtins",
}

/// The variables of the builtins in the order in which Nix makes them. Those with `__` are known without it too.
#[rustfmt::skip]
const REGISTERED: &[&str] = &[
    "true", "false", "null", "__currentTime", "__currentSystem", "__nixVersion", "__storeDir", "__langVersion",
    "__traceVerbose", "__nixPath", "scopedImport", "import", "__typeOf", "isNull", "__isFunction", "__isInt",
    "__isFloat", "__isString", "__isBool", "__isPath", "__genericClosure", "break", "abort", "throw",
    "__addErrorContext", "__ceil", "__floor", "__tryEval", "__getEnv", "__seq", "__deepSeq", "__trace", "__warn",
    "derivationStrict", "placeholder", "__toPath", "__storePath", "__pathExists", "baseNameOf", "dirOf", "__readFile",
    "__findFile", "__hashFile", "__readFileType", "__readDir", "__outputOf", "__toXML", "__toJSON", "__fromJSON",
    "__toFile", "__filterSource", "__path", "__attrNames", "__attrValues", "__getAttr", "__unsafeGetAttrPos",
    "__hasAttr", "__isAttrs", "removeAttrs", "__listToAttrs", "__intersectAttrs", "__catAttrs", "__functionArgs",
    "__mapAttrs", "__zipAttrsWith", "__isList", "__elemAt", "__head", "__tail", "map", "__filter", "__elem",
    "__concatLists", "__length", "__foldl'", "__any", "__all", "__genList", "__sort", "__partition", "__groupBy",
    "__concatMap", "__add", "__sub", "__mul", "__div", "__bitAnd", "__bitOr", "__bitXor", "__lessThan", "toString",
    "__substring", "__stringLength", "__hashString", "__convertHash", "__match", "__split", "__concatStringsSep",
    "__replaceStrings", "__parseDrvName", "__compareVersions", "__splitVersion", "__unsafeDiscardStringContext",
    "__hasContext", "__unsafeDiscardOutputDependency", "__addDrvOutputDependencies", "__getContext",
    "__appendContext", "__fetchClosure", "fetchMercurial", "fetchTree", "fetchFinalTree", "__fetchurl",
    "fetchTarball", "fetchGit", "fromTOML", "__getFlake", "__parseFlakeRef", "__flakeRefToString", "derivation",
];

/// What else the text of Nix's function `derivation` mentions.
const DERIVATION_NAMES: &[&str] = &["strict", "drvAttrs", "commonAttrs", "outputsList", "x", "outputToAttrListElement"];

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
