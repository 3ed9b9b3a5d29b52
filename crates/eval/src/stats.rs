//! Counters of what an evaluation did.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once, as a thread's cells, the process's sums, and a report.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        /// What one thread counts, without synchronisation.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($name: Cell<u64>),*
        }

        impl Counters {
            $(
                #[inline]
                pub(crate) fn $count(&self) {
                    self.$name.set(self.$name.get() + 1);
                }
            )*
        }

        /// The sums over the threads that are done.
        #[derive(Default)]
        pub(crate) struct Totals {
            $($name: AtomicU64),*
        }

        impl Totals {
            pub(crate) fn add(&self, counters: &Counters) {
                $(self.$name.fetch_add(counters.$name.get(), Ordering::Relaxed);)*
            }

            pub(crate) fn report(&self) -> Statistics {
                Statistics {
                    heap_bytes: crate::heap::allocated_bytes(),
                    $($name: self.$name.load(Ordering::Relaxed)),*
                }
            }
        }

        /// What an evaluation did, for `--stats`.
        #[derive(Clone, Debug)]
        pub struct Statistics {
            /// The memory of all heaps of the process.
            pub heap_bytes: usize,
            $($(#[$doc])* pub $name: u64),*
        }
    };
}

counters! {
    /// Thunks that were made.
    thunks, count_thunk;
    /// Calls of functions of the language.
    calls, count_call;
    /// Calls of builtins.
    builtin_calls, count_builtin_call;
    /// `//` of two sets that are not empty.
    updates, count_update;
    /// Lists that `++` made.
    concatenations, count_concatenation;
}
