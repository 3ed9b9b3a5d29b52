//! The value: one 64-bit word.

use std::num::NonZeroU64;

use super::{Attrs, Env, List, Str, Thunk, arena};
use crate::builtins::Builtin;
use crate::ir::Lambda;

/// A Nix value in one word. The three low bits say what the rest is: an immediate, a small integer, or a pointer to an
/// object of the heap. A value may be a thunk, which [`crate::Interp::force`] turns into one that is not.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Value(NonZeroU64);

const TAG_BITS: u64 = 0b111;
const IMMEDIATE: u64 = 0;
const INT: u64 = 1;
pub(super) const THUNK: u64 = 2;
const ATTRS: u64 = 3;
const LIST: u64 = 4;
const STRING: u64 = 5;
const LAMBDA: u64 = 6;
const BOXED: u64 = 7;

const NULL: u64 = 1 << 3;
const FALSE: u64 = 2 << 3;
const TRUE: u64 = 3 << 3;

/// The range of integers that fit in the word; the others are boxed.
const SMALL: std::ops::RangeInclusive<i64> = -(1 << 60)..=(1 << 60) - 1;

/// What a value is, unpacked for a `match`.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A 64-bit integer
    Int(i64),
    /// A double
    Float(f64),
    /// A string with its context
    String(&'static Str),
    /// An absolute, canonical path
    Path(&'static Str),
    /// A list
    List(List),
    /// An attribute set
    Attrs(&'static Attrs),
    /// A function of the language
    Lambda(&'static Closure),
    /// A builtin function without arguments
    Builtin(&'static Builtin),
    /// A function with some, but not all, of its arguments
    Partial(&'static PartialApp),
    /// A computation that may not have happened yet
    Thunk(&'static Thunk),
}

/// A function of the language with the environment it was made in.
pub struct Closure {
    /// The code.
    pub lambda: &'static Lambda,
    /// Where its free variables are.
    pub env: &'static Env,
}

/// A function applied to fewer arguments than it takes in one step.
pub struct PartialApp {
    /// A lambda or a builtin, never another partial application.
    pub function: Value,
    /// The arguments so far, in order; at least one.
    pub args: &'static [Value],
}

/// The kinds that are too rare for a tag of their own.
pub enum Boxed {
    /// An integer outside the small range.
    Int(i64),
    /// A double.
    Float(f64),
    /// A path; its string has no context.
    Path(&'static Str),
    /// A builtin.
    Builtin(&'static Builtin),
    /// A partial application.
    Partial(PartialApp),
}

const _: () = assert!(size_of::<Value>() == 8 && size_of::<Option<Value>>() == 8);
const _: () = assert!(size_of::<Boxed>() <= 32 && size_of::<Closure>() == 16);

impl Value {
    /// `null`
    pub const NULL: Value = Value::immediate(NULL);
    /// `false`
    pub const FALSE: Value = Value::immediate(FALSE);
    /// `true`
    pub const TRUE: Value = Value::immediate(TRUE);

    const fn immediate(bits: u64) -> Value {
        match NonZeroU64::new(bits) {
            Some(word) => Value(word),
            None => panic!("an immediate is not zero"),
        }
    }

    #[inline]
    fn tagged<T>(pointer: &'static T, tag: u64) -> Value {
        let address = std::ptr::from_ref(pointer).expose_provenance() as u64;
        debug_assert_eq!(address & TAG_BITS, 0);
        // SAFETY: a reference is not null, and setting low bits cannot make it zero.
        Value(unsafe { NonZeroU64::new_unchecked(address | tag) })
    }

    #[inline]
    fn tag(self) -> u64 {
        self.0.get() & TAG_BITS
    }

    /// # Safety
    /// The word must have been made by [`Value::tagged`] from a `&'static T`.
    #[inline]
    unsafe fn pointer<T>(self) -> &'static T {
        let address = (self.0.get() & !TAG_BITS) as usize;
        // SAFETY: by the contract, the address was exposed from a `&'static T`.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    }

    /// The word itself, for [`Thunk`] and [`Env`] to keep in atomics.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0.get()
    }

    /// # Safety
    /// `bits` must come from [`Value::bits`].
    #[inline]
    pub(super) unsafe fn from_bits(bits: u64) -> Value {
        // SAFETY: by the contract, the word was that of a value, which is not zero.
        Value(unsafe { NonZeroU64::new_unchecked(bits) })
    }

    /// A boolean.
    #[inline]
    pub fn bool(value: bool) -> Value {
        if value { Value::TRUE } else { Value::FALSE }
    }

    /// An integer.
    #[inline]
    pub fn int(value: i64) -> Value {
        if SMALL.contains(&value) {
            // SAFETY: the tag is not zero.
            return Value(unsafe { NonZeroU64::new_unchecked(((value as u64) << 3) | INT) });
        }
        Value::boxed(Boxed::Int(value))
    }

    /// A double.
    pub fn float(value: f64) -> Value {
        Value::boxed(Boxed::Float(value))
    }

    /// A string without context.
    pub fn string(text: impl AsRef<[u8]>) -> Value {
        Str::new(text.as_ref(), None).into()
    }

    /// A path. `path` must be absolute and canonical (no `.`, `..`, double or trailing slash).
    pub fn path(path: impl AsRef<[u8]>) -> Value {
        Value::boxed(Boxed::Path(Str::new(path.as_ref(), None)))
    }

    /// A list of `items`, which are copied.
    pub fn list(items: &[Value]) -> Value {
        List::new(items).into()
    }

    /// A builtin function.
    pub fn builtin(builtin: &'static Builtin) -> Value {
        Value::boxed(Boxed::Builtin(builtin))
    }

    /// A partial application.
    pub fn partial(function: Value, args: &'static [Value]) -> Value {
        Value::boxed(Boxed::Partial(PartialApp { function, args }))
    }

    /// A function of the language.
    #[inline]
    pub fn closure(lambda: &'static Lambda, env: &'static Env) -> Value {
        Value::tagged(arena::new(Closure { lambda, env }), LAMBDA)
    }

    #[inline]
    fn boxed(object: Boxed) -> Value {
        Value::tagged(arena::new(object), BOXED)
    }

    /// Unpacks the word.
    #[inline]
    pub fn kind(self) -> Kind {
        // SAFETY: for all arms: each tag is only ever set by the constructor of its kind, above or in the `From`
        // implementations below, from a reference to the type named here.
        unsafe {
            match self.tag() {
                IMMEDIATE if self.0.get() == NULL => Kind::Null,
                IMMEDIATE => Kind::Bool(self.0.get() == TRUE),
                INT => Kind::Int((self.0.get() as i64) >> 3),
                THUNK => Kind::Thunk(self.pointer()),
                ATTRS => Kind::Attrs(self.pointer()),
                LIST => Kind::List(List::from_header(self.pointer())),
                STRING => Kind::String(self.pointer()),
                LAMBDA => Kind::Lambda(self.pointer()),
                _ => self.unbox(),
            }
        }
    }

    fn unbox(self) -> Kind {
        // SAFETY: only called for the tag `BOXED`, which only `Value::boxed` sets.
        match unsafe { self.pointer::<Boxed>() } {
            Boxed::Int(value) => Kind::Int(*value),
            Boxed::Float(value) => Kind::Float(*value),
            Boxed::Path(path) => Kind::Path(path),
            Boxed::Builtin(builtin) => Kind::Builtin(builtin),
            Boxed::Partial(partial) => Kind::Partial(partial),
        }
    }

    /// The thunk, if the value is one.
    #[inline]
    pub fn as_thunk(self) -> Option<&'static Thunk> {
        // SAFETY: the tag `THUNK` is only set from a `&'static Thunk`.
        (self.tag() == THUNK).then(|| unsafe { self.pointer() })
    }

    /// The attribute set, if the value is one (a thunk is not).
    #[inline]
    pub fn as_attrs(self) -> Option<&'static Attrs> {
        // SAFETY: the tag `ATTRS` is only set from a `&'static Attrs`.
        (self.tag() == ATTRS).then(|| unsafe { self.pointer() })
    }

    /// The function of the language, if the value is one.
    #[inline]
    pub fn as_closure(self) -> Option<&'static Closure> {
        // SAFETY: the tag `LAMBDA` is only set from a `&'static Closure`.
        (self.tag() == LAMBDA).then(|| unsafe { self.pointer() })
    }

    /// Whether the value is a number that fits in the word.
    #[inline]
    pub fn as_small_int(self) -> Option<i64> {
        (self.tag() == INT).then_some((self.0.get() as i64) >> 3)
    }

    /// Whether evaluating the value is over. A thunk that is done is chased by [`Value::resolved`].
    #[inline]
    pub fn is_thunk(self) -> bool {
        self.tag() == THUNK
    }

    /// The value behind a thunk that is done, the value itself if it is no thunk, and `None` for what is not
    /// evaluated yet.
    #[inline]
    pub fn resolved(self) -> Option<Value> {
        match self.as_thunk() {
            None => Some(self),
            Some(thunk) => thunk.value(),
        }
    }

    /// What the language calls this kind of value, with an article, as error messages use it.
    pub fn describe(self) -> &'static str {
        match self.kind() {
            Kind::Null => "null",
            Kind::Bool(_) => "a Boolean",
            Kind::Int(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::String(s) if s.context().is_some() => "a string with context",
            Kind::String(_) => "a string",
            Kind::Path(_) => "a path",
            Kind::List(_) => "a list",
            Kind::Attrs(_) => "a set",
            Kind::Lambda(_) => "a function",
            Kind::Builtin(_) => "a built-in function",
            Kind::Partial(p) => match p.function.kind() {
                Kind::Lambda(_) => "a function",
                _ => "a partially applied built-in function",
            },
            Kind::Thunk(thunk) => match thunk.value() {
                Some(value) => value.describe(),
                None => "a thunk",
            },
        }
    }
}

impl From<&'static Attrs> for Value {
    #[inline]
    fn from(attrs: &'static Attrs) -> Value {
        Value::tagged(attrs, ATTRS)
    }
}

impl From<List> for Value {
    #[inline]
    fn from(list: List) -> Value {
        Value::tagged(list.header(), LIST)
    }
}

impl From<&'static Str> for Value {
    #[inline]
    fn from(string: &'static Str) -> Value {
        Value::tagged(string, STRING)
    }
}

impl From<&'static Thunk> for Value {
    #[inline]
    fn from(thunk: &'static Thunk) -> Value {
        Value::tagged(thunk, THUNK)
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            Kind::Int(value) => write!(f, "{value}"),
            Kind::String(value) => write!(f, "{value:?}"),
            Kind::Bool(value) => write!(f, "{value}"),
            _ => f.write_str(self.describe()),
        }
    }
}
