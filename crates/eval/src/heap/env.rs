//! Environments: the variables of one scope, and the scope around it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Value, arena, thunk};
use crate::stats::count;

/// The variables of one scope. The compiler resolved every variable to a number of scopes to go up and a slot.
///
/// In memory, the slots follow this word, each zero, the word of a value, or who computes it in place. A scope with very many variables has their
/// number in the word before.
#[repr(C)]
pub struct Env {
    /// The address of the scope around it, or zero, in 48 bits; above it the number of variables.
    up_and_len: u64,
}

const _: () = assert!(size_of::<Env>() == 8);

const LEN_SHIFT: u32 = 48;
/// In the place of the number of variables: it is in the word before.
const MANY: usize = 0xffff;

impl Env {
    /// A scope with `slots` variables that have no value yet.
    #[inline]
    pub fn new(up: Option<&'static Env>, slots: usize) -> &'static Env {
        count(|counters| &counters.scopes, 1);
        count(|counters| &counters.variables, slots);
        if slots >= MANY {
            return Env::with_many(up, slots);
        }
        let place = arena::allocate(size_of::<Env>() + slots * 8);
        // SAFETY: there is room for the header and the slots.
        unsafe { Env::write(place.cast(), up, slots) }
    }

    #[cold]
    fn with_many(up: Option<&'static Env>, slots: usize) -> &'static Env {
        let place = arena::allocate(8 + size_of::<Env>() + slots * 8).cast::<u64>();
        // SAFETY: there is room for the number, the header and the slots.
        unsafe {
            place.write(slots as u64);
            Env::write(place.add(1).cast(), up, MANY)
        }
    }

    /// # Safety
    /// At `place`, there must be fresh memory of the heap with room for the header and the slots.
    #[inline]
    unsafe fn write(place: NonNull<Env>, up: Option<&'static Env>, shown: usize) -> &'static Env {
        let up = up.map_or(0, |env| std::ptr::from_ref(env).expose_provenance() as u64);
        debug_assert_eq!(up >> LEN_SHIFT, 0, "user space has 48-bit addresses");
        // SAFETY: by the contract. The slots are zero, as all fresh memory of the heap is, which is a valid slot.
        unsafe {
            place.write(Env { up_and_len: up | (shown as u64) << LEN_SHIFT });
            place.as_ref()
        }
    }

    #[inline]
    fn slots(&'static self) -> &'static [AtomicU64] {
        let address = std::ptr::from_ref(self).addr();
        let mut len = (self.up_and_len >> LEN_SHIFT) as usize;
        if len == MANY {
            // SAFETY: `with_many` wrote the number before the header, in one chunk, whose provenance is exposed.
            len = unsafe { *std::ptr::with_exposed_provenance::<u64>(address - 8) } as usize;
        }
        // SAFETY: the constructors initialised `len` slots behind the header, in one chunk, whose provenance is exposed.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address + size_of::<Env>()), len) }
    }

    /// The scope `depth` levels up.
    ///
    /// # Panics
    /// If there are fewer scopes, which the compiler excludes.
    #[inline]
    pub fn up(&'static self, depth: u32) -> &'static Env {
        let mut env = self;
        for _ in 0..depth {
            let address = (env.up_and_len & ((1 << LEN_SHIFT) - 1)) as usize;
            assert!(address != 0, "the compiler counts scopes");
            // SAFETY: the address is that of a scope of the heap, from `write`.
            env = unsafe { &*std::ptr::with_exposed_provenance(address) };
        }
        env
    }

    /// The value of a variable; `None` while its scope is being set up, or while it is computed in place.
    #[inline]
    pub fn get(&'static self, slot: u32) -> Option<Value> {
        value_of(self.slots()[slot as usize].load(Ordering::Acquire))
    }

    /// Takes on to compute a variable that has no value yet. Then [`Env::finish`] or [`Env::release`] has to be called.
    #[inline]
    pub fn claim(&'static self, slot: u32, thread: u32) -> SlotClaim {
        let state = self.slot_word(slot);
        let mine = thunk::running_in(thread);
        match state.compare_exchange(0, mine, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => SlotClaim::Mine,
            Err(word) => value_of(word).map_or_else(|| SlotClaim::Running(thunk::owner(word)), SlotClaim::Done),
        }
    }

    /// Stores a computed value. Returns whether somebody waits for it.
    #[inline]
    pub fn finish(&'static self, slot: u32, value: Value) -> bool {
        thunk::settle(self.slot_word(slot), value.bits())
    }

    /// Gives up computing a value, which whoever asks next begins anew. Returns whether somebody waits for it.
    pub fn release(&'static self, slot: u32) -> bool {
        thunk::settle(self.slot_word(slot), 0)
    }

    /// Gives a variable a value unless it has one or is being computed; the value it has then, if any.
    #[inline]
    pub fn offer(&'static self, slot: u32, value: Value) -> Option<Value> {
        match self.slot_word(slot).compare_exchange(0, value.bits(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(value),
            Err(word) => value_of(word),
        }
    }

    /// Whether nothing was done for a variable yet.
    #[inline]
    pub fn is_empty(&'static self, slot: u32) -> bool {
        self.slot_word(slot).load(Ordering::Relaxed) == 0
    }

    /// The word that holds a variable's value, or says who computes it.
    #[inline]
    pub fn slot_word(&'static self, slot: u32) -> &'static AtomicU64 {
        &self.slots()[slot as usize]
    }

    /// Gives a variable its value.
    #[inline]
    pub fn set(&'static self, slot: u32, value: Value) {
        self.slots()[slot as usize].store(value.bits(), Ordering::Release);
    }
}

#[inline]
fn value_of(bits: u64) -> Option<Value> {
    // SAFETY: a slot is zero, says who computes it, or was written with the word of a value.
    (bits != 0 && !thunk::is_running(bits)).then(|| unsafe { Value::from_bits(bits) })
}

/// What a thread finds when it wants a variable's value.
pub enum SlotClaim {
    /// The value is there; it may be a thunk.
    Done(Value),
    /// This thread has to compute it.
    Mine,
    /// A thread, maybe this one, is computing it.
    Running(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_all_sizes_keep_their_values() {
        let outer = Env::new(None, 70_000);
        let inner = Env::new(Some(outer), 3);
        outer.set(69_999, Value::int(7));
        inner.set(2, Value::TRUE);
        assert!(inner.up(1).get(69_999) == Some(Value::int(7)) && outer.get(0).is_none());
        assert!(inner.get(2) == Some(Value::TRUE) && inner.get(1).is_none());
    }
}
