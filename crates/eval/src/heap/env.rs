//! Environments: the variables of one scope, and the scope around it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Value, arena};

/// The variables of one scope. The compiler resolved every variable to a number of scopes to go up and a slot.
#[repr(C)]
pub struct Env {
    up: Option<&'static Env>,
    len: usize,
    // `len` slots follow in memory, each an `AtomicU64`: zero, or the word of a value.
}

const _: () = assert!(size_of::<Env>() == 16);

impl Env {
    /// A scope with `slots` variables that have no value yet.
    #[inline]
    pub fn new(up: Option<&'static Env>, slots: usize) -> &'static Env {
        let place = arena::allocate(size_of::<Env>() + slots * 8);
        // SAFETY: there is room for the header and the slots; zero is a valid `AtomicU64`.
        unsafe {
            place.cast::<Env>().write(Env { up, len: slots });
            std::ptr::write_bytes(place.as_ptr().add(size_of::<Env>()), 0, slots * 8);
            place.cast::<Env>().as_ref()
        }
    }

    #[inline]
    fn slots(&'static self) -> &'static [AtomicU64] {
        let first = std::ptr::from_ref(self).addr() + size_of::<Env>();
        // SAFETY: `new`, the only constructor, initialised `len` slots behind the header, in one chunk, whose
        // provenance is exposed.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(first), self.len) }
    }

    /// The scope `depth` levels up.
    ///
    /// # Panics
    /// If there are fewer scopes, which the compiler excludes.
    #[inline]
    pub fn up(&'static self, depth: u32) -> &'static Env {
        let mut env = self;
        for _ in 0..depth {
            env = env.up.expect("the compiler counts scopes");
        }
        env
    }

    /// The value of a variable; `None` while its scope is being set up.
    #[inline]
    pub fn get(&'static self, slot: u32) -> Option<Value> {
        let bits = self.slots()[slot as usize].load(Ordering::Acquire);
        // SAFETY: a slot is zero or was written by `set` with the word of a value.
        (bits != 0).then(|| unsafe { Value::from_bits(bits) })
    }

    /// Gives a variable its value.
    #[inline]
    pub fn set(&'static self, slot: u32, value: Value) {
        self.slots()[slot as usize].store(value.bits(), Ordering::Release);
    }
}
