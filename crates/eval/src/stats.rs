//! Counters of what an evaluation did.
//!
//! Each thread counts in cells of its own, without synchronisation, so that counting costs one addition; what an
//! [`crate::Interp`] counted is added to its evaluation's sums when it is dropped.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once, as a thread's cells, an evaluation's sums, and a report.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// What one thread counted.
        pub(crate) struct Counters {
            $(pub(crate) $name: Cell<u64>),*
        }

        thread_local! {
            static COUNTERS: Counters = const { Counters { $($name: Cell::new(0)),* } };
        }

        /// The sums over the threads that are done.
        #[derive(Default)]
        pub(crate) struct Totals {
            $($name: AtomicU64),*
        }

        impl Totals {
            /// Takes what this thread counted.
            pub(crate) fn take(&self) {
                COUNTERS.with(|counters| {
                    $(self.$name.fetch_add(counters.$name.take(), Ordering::Relaxed);)*
                });
            }

            pub(crate) fn report(&self) -> Statistics {
                Statistics {
                    heap_bytes: crate::heap::allocated_bytes() as u64,
                    $($name: self.$name.load(Ordering::Relaxed)),*
                }
            }
        }

        /// What an evaluation did, for `--stats`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Statistics {
            /// The memory that all heaps of the process took from the system.
            pub heap_bytes: u64,
            $($(#[$doc])* pub $name: u64),*
        }

        impl Statistics {
            /// The counters with their names, in a fixed order: the members of a JSON object.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![("heap_bytes", self.heap_bytes), $((stringify!($name), self.$name)),*]
            }
        }
    };
}

counters! {
    /// Bytes of all objects that were made.
    allocated_bytes;
    /// Thunks that were made.
    thunks;
    /// Values that were at hand where a thunk could have been made.
    thunks_avoided;
    /// Scopes that were made.
    scopes;
    /// Variables in them.
    variables;
    /// Attribute sets that were made, layered ones included.
    sets;
    /// Values in them.
    set_slots;
    /// Of these, values copied from other sets by `//`.
    set_slots_copied;
    /// `//` of two sets.
    updates;
    /// `//` that laid one set over the other and copied nothing.
    layered_updates;
    /// Attributes that were looked up by name.
    lookups;
    /// Of these, those found at once where the same code found the last one.
    cached_lookups;
    /// Lists that were made.
    lists;
    /// Values in them.
    list_elements;
    /// Of these, values copied from other lists by `++` and its kin.
    list_elements_copied;
    /// Lists that `++` and its kin made.
    concatenations;
    /// Strings that were made.
    strings;
    /// Bytes in them.
    string_bytes;
    /// Shapes that were made.
    shapes;
    /// Names in them.
    shape_slots;
    /// Calls of functions of the language.
    calls;
    /// Calls of builtins.
    builtin_calls;
}

/// Adds to one of this thread's counters.
#[inline(always)]
pub(crate) fn count(counter: impl FnOnce(&Counters) -> &Cell<u64>, amount: usize) {
    COUNTERS.with(|counters| {
        let cell = counter(counters);
        cell.set(cell.get() + amount as u64);
    });
}
