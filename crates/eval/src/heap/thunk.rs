//! Thunks: computations that happen at most once, also with several threads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::value::{self, Value};
use super::{Env, arena};
use crate::ir::{Expr, SelectName};

/// A computation in two words. The first is an atomic: what to compute and how (a pointer with a kind in its high
/// byte), who computes it, or, at the end, the word of the value. The second is its operand and never
/// changes.
pub struct Thunk {
    state: AtomicU64,
    operand: u64,
}

const _: () = assert!(size_of::<Thunk>() == 16);

/// What a thunk is going to compute.
#[derive(Clone, Copy)]
pub enum Deferred {
    /// An expression in an environment.
    Expr(&'static Expr, &'static Env),
    /// A function applied to an argument. The function is behind a pointer, shared by all elements of a `map`.
    Apply(&'static Value, Value),
    /// A function (first) applied to two arguments.
    Apply2(&'static [Value; 2], Value),
    /// An attribute of a value.
    Select(&'static SelectName, Value),
}

/// What a thread finds when it wants a thunk's value.
pub enum Claim {
    /// The value is there.
    Done(Value),
    /// This thread has to compute it, and then call [`Thunk::finish`] or [`Thunk::release`].
    Mine(Deferred),
    /// A thread, maybe this one, is computing it.
    Running(u32),
}

/// A thunk as a debugger or printer sees it.
pub enum ThunkState {
    /// Nobody has asked for it.
    Suspended,
    /// A thread computes it.
    Running,
    /// It has a value.
    Done(Value),
}

const EXPR: u64 = 0;
const APPLY: u64 = 1;
const APPLY2: u64 = 2;
const SELECT: u64 = 3;
const RUNNING: u64 = 4;
/// Running, and somebody waits.
const AWAITED: u64 = 5;

const KIND_SHIFT: u32 = 56;
const ADDRESS: u64 = 0x0000_ffff_ffff_fff8;

#[inline]
fn pack<T>(kind: u64, pointer: &'static T) -> u64 {
    let address = std::ptr::from_ref(pointer).expose_provenance() as u64;
    debug_assert_eq!(address & !ADDRESS, 0, "user space has 48-bit addresses");
    kind << KIND_SHIFT | address | value::THUNK
}

/// # Safety
/// `word` must have been made by `pack` from a `&'static T`.
#[inline]
unsafe fn unpack<T>(word: u64) -> &'static T {
    // SAFETY: by the contract, the address was exposed from a `&'static T`.
    unsafe { &*std::ptr::with_exposed_provenance((word & ADDRESS) as usize) }
}

#[inline]
fn running(kind: u64, thread: u32) -> u64 {
    kind << KIND_SHIFT | u64::from(thread) << 3 | value::THUNK
}

/// The word of a state in which `thread` computes.
#[inline]
pub(super) fn running_in(thread: u32) -> u64 {
    running(RUNNING, thread)
}

/// Whether the word is that of a state in which some thread computes.
#[inline]
pub(super) fn is_running(word: u64) -> bool {
    word & 0b111 == value::THUNK && word >> KIND_SHIFT >= RUNNING
}

/// The thread that computes, of a word that [`is_running`].
#[inline]
pub(super) fn owner(word: u64) -> u32 {
    ((word & ADDRESS) >> 3) as u32
}

/// Ends a computation. Returns whether somebody waits for it.
#[inline]
pub(super) fn settle(state: &AtomicU64, word: u64) -> bool {
    let before = state.swap(word, Ordering::AcqRel);
    is_running(before) && before >> KIND_SHIFT == AWAITED
}

/// Notes that somebody waits. Returns the thread that computes; `None` if none does any more.
pub fn announce_waiter(state: &AtomicU64) -> Option<u32> {
    let mut word = state.load(Ordering::Acquire);
    while is_running(word) {
        let awaited = running(AWAITED, owner(word));
        match state.compare_exchange(word, awaited, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(owner(word)),
            Err(other) => word = other,
        }
    }
    None
}

impl Thunk {
    /// A thunk that nobody has asked for yet.
    #[inline]
    pub fn new(deferred: Deferred) -> &'static Thunk {
        let (state, operand) = match deferred {
            Deferred::Expr(expr, env) => (pack(EXPR, expr), std::ptr::from_ref(env).expose_provenance() as u64),
            Deferred::Apply(function, arg) => (pack(APPLY, function), arg.bits()),
            Deferred::Apply2(function, arg) => (pack(APPLY2, function), arg.bits()),
            Deferred::Select(name, base) => (pack(SELECT, name), base.bits()),
        };
        arena::new(Thunk { state: AtomicU64::new(state), operand })
    }

    /// The value, if it was computed.
    #[inline]
    pub fn value(&self) -> Option<Value> {
        let word = self.state.load(Ordering::Acquire);
        // SAFETY: a state without the thunk tag was stored by `finish` from a value.
        (word & 0b111 != value::THUNK).then(|| unsafe { Value::from_bits(word) })
    }

    /// Finds out what there is to do, and takes on the computation if nobody has.
    #[inline]
    pub fn claim(&self, thread: u32) -> Claim {
        let mut word = self.state.load(Ordering::Acquire);
        loop {
            if word & 0b111 != value::THUNK {
                // SAFETY: see `value`.
                return Claim::Done(unsafe { Value::from_bits(word) });
            }
            match word >> KIND_SHIFT {
                RUNNING | AWAITED => return Claim::Running(owner(word)),
                _ => {}
            }
            let mine = running(RUNNING, thread);
            match self.state.compare_exchange(word, mine, Ordering::Acquire, Ordering::Acquire) {
                // SAFETY: the kind is one of the suspended ones, so `new` or `release` made the word.
                Ok(_) => return Claim::Mine(unsafe { self.deferred(word) }),
                Err(other) => word = other,
            }
        }
    }

    /// # Safety
    /// `word` must be a suspended state of this thunk.
    #[inline]
    unsafe fn deferred(&self, word: u64) -> Deferred {
        // SAFETY: `new` packed a pointer of the type that goes with the kind, and an operand likewise.
        unsafe {
            match word >> KIND_SHIFT {
                EXPR => {
                    let env = &*std::ptr::with_exposed_provenance(self.operand as usize);
                    Deferred::Expr(unpack(word), env)
                }
                APPLY => Deferred::Apply(unpack(word), Value::from_bits(self.operand)),
                APPLY2 => Deferred::Apply2(unpack(word), Value::from_bits(self.operand)),
                _ => Deferred::Select(unpack(word), Value::from_bits(self.operand)),
            }
        }
    }

    /// Stores the value. Returns whether somebody waits for it.
    #[inline]
    pub fn finish(&self, value: Value) -> bool {
        debug_assert!(!value.is_thunk());
        settle(&self.state, value.bits())
    }

    /// Gives the computation back after it failed, for whoever asks next: a failure is not remembered, because from
    /// another place (with more stack) it may succeed. Returns whether somebody waits for it.
    pub fn release(&self, deferred: Deferred) -> bool {
        let word = match deferred {
            Deferred::Expr(expr, _) => pack(EXPR, expr),
            Deferred::Apply(function, _) => pack(APPLY, function),
            Deferred::Apply2(function, _) => pack(APPLY2, function),
            Deferred::Select(name, _) => pack(SELECT, name),
        };
        settle(&self.state, word)
    }

    /// The word that says who computes it.
    pub fn state_word(&self) -> &AtomicU64 {
        &self.state
    }

    /// The state, for display.
    pub fn state(&self) -> ThunkState {
        let word = self.state.load(Ordering::Acquire);
        if word & 0b111 != value::THUNK {
            // SAFETY: see `value`.
            return ThunkState::Done(unsafe { Value::from_bits(word) });
        }
        match word >> KIND_SHIFT {
            RUNNING | AWAITED => ThunkState::Running,
            _ => ThunkState::Suspended,
        }
    }
}
