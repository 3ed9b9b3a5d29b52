//! Lists: a length and that many values, side by side.

use super::{Value, arena};
use crate::stats::count;

/// A list of the heap.
#[derive(Clone, Copy)]
pub struct List(&'static Header);

/// The length; the values follow it in memory.
#[repr(C, align(8))]
pub(super) struct Header {
    len: usize,
}

static EMPTY: Header = Header { len: 0 };

impl List {
    /// The empty list.
    pub const EMPTY: List = List(&EMPTY);

    /// A list of `items`, which are copied.
    pub fn new(items: &[Value]) -> List {
        List::build(items.len(), |out| out.extend_from_slice(items))
    }

    /// A list of the values that `fill` pushes, at most `capacity` of them. Nothing is copied afterwards.
    pub fn build(capacity: usize, fill: impl FnOnce(&mut ListBuilder)) -> List {
        if capacity == 0 {
            return List::EMPTY;
        }
        count(|counters| &counters.lists, 1);
        let place = arena::allocate(size_of::<Header>() + capacity * size_of::<Value>());
        let mut builder =
            ListBuilder { items: place.as_ptr().wrapping_add(size_of::<Header>()).cast(), len: 0, capacity };
        fill(&mut builder);
        if builder.len == 0 {
            return List::EMPTY;
        }
        count(|counters| &counters.list_elements, builder.len);
        // SAFETY: `place` has room for the header, and the first `len` values after it were written by the builder.
        unsafe {
            place.cast::<Header>().write(Header { len: builder.len });
            List(place.cast::<Header>().as_ref())
        }
    }

    /// A list of what an iterator of known length yields, or the first error.
    pub fn try_collect<E>(items: impl ExactSizeIterator<Item = Result<Value, E>>) -> Result<List, E> {
        let mut failure = None;
        let list = List::build(items.len(), |out| {
            for item in items {
                match item {
                    Ok(value) => out.push(value),
                    Err(error) => {
                        failure = Some(error);
                        return;
                    }
                }
            }
        });
        failure.map_or(Ok(list), Err)
    }

    /// The values.
    #[inline]
    pub fn items(self) -> &'static [Value] {
        if self.0.len == 0 {
            return &[];
        }
        let first = std::ptr::from_ref(self.0).addr() + size_of::<Header>();
        // SAFETY: `build` wrote `len` values behind the header, in one chunk, whose provenance is exposed.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(first), self.0.len) }
    }

    /// The number of values.
    #[inline]
    pub fn len(self) -> usize {
        self.0.len
    }

    /// Whether there is no value.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.len == 0
    }

    #[inline]
    pub(super) fn header(self) -> &'static Header {
        self.0
    }

    /// The list behind a header that [`List::header`] gave.
    #[inline]
    pub(super) fn from_header(header: &'static Header) -> List {
        List(header)
    }
}

/// Writes the values of a list that is being made.
pub struct ListBuilder {
    items: *mut Value,
    len: usize,
    capacity: usize,
}

impl ListBuilder {
    /// Appends one value.
    ///
    /// # Panics
    /// If the list is full.
    #[inline]
    pub fn push(&mut self, value: Value) {
        assert!(self.len < self.capacity, "a list is filled beyond its capacity");
        // SAFETY: `len` is below the capacity that was allocated.
        unsafe { self.items.add(self.len).write(value) };
        self.len += 1;
    }

    /// Appends many values.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub fn extend_from_slice(&mut self, values: &[Value]) {
        assert!(values.len() <= self.capacity - self.len, "a list is filled beyond its capacity");
        // SAFETY: the values fit, and fresh memory does not overlap with them.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.items.add(self.len), values.len()) };
        self.len += values.len();
    }
}
