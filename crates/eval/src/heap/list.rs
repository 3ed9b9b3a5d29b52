//! Lists: a length and that many values, side by side; or a view of values that several lists share.
//!
//! A list that `++` makes longer and longer shares one growing buffer with the shorter ones, and the tail of a list
//! shares its values, so that building a list step by step and walking it step by step copy each value a few times, not
//! once a step.

use smallvec::SmallVec;

use super::buffer::Buffer;
use super::{Value, arena};
use crate::stats::count;

/// A list of the heap.
#[derive(Clone, Copy)]
pub struct List(&'static Header);

/// The length, with flags in its highest bits. The values follow it in memory, unless [`VIEW`] is set: then it is the
/// first field of a [`View`].
#[repr(C, align(8))]
pub(super) struct Header {
    len: usize,
}

/// The values are elsewhere.
const VIEW: usize = 1 << 63;
/// `++` made the list.
const GROWN: usize = 1 << 62;
const LEN: usize = GROWN - 1;

/// A list whose values are elsewhere.
#[repr(C)]
struct View {
    header: Header,
    /// The address of the first value; its provenance is exposed.
    items: usize,
    /// The buffer that the values lie in, if it may grow.
    buffer: Option<&'static Buffer>,
}

/// Shorter lists are just copied.
const MIN_SHARED: usize = 16;
/// A tail shorter than this takes less room as a copy than as a view.
const MIN_TAIL: usize = 3;

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
        List::build_with(0, capacity, fill)
    }

    fn build_with(flags: usize, capacity: usize, fill: impl FnOnce(&mut ListBuilder)) -> List {
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
            place.cast::<Header>().write(Header { len: builder.len | flags });
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
        let first = match self.view() {
            None if self.0.len == 0 => return &[],
            None => std::ptr::from_ref(self.0).addr() + size_of::<Header>(),
            Some(view) => view.items,
        };
        // SAFETY: `build` wrote `len` values behind the header, in one chunk, whose provenance is exposed; those of a
        // view were written before it was made, and are never written again.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(first), self.len()) }
    }

    #[inline]
    fn view(self) -> Option<&'static View> {
        if self.0.len & VIEW == 0 {
            return None;
        }
        let address = std::ptr::from_ref(self.0).addr();
        // SAFETY: only `List::of_view` sets the flag, in the first field of a view, whose chunk is exposed.
        Some(unsafe { &*std::ptr::with_exposed_provenance(address) })
    }

    fn of_view(items: usize, len: usize, buffer: Option<&'static Buffer>) -> List {
        count(|counters| &counters.lists, 1);
        List(&arena::new(View { header: Header { len: len | VIEW | GROWN }, items, buffer }).header)
    }

    /// The number of values.
    #[inline]
    pub fn len(self) -> usize {
        self.0.len & LEN
    }

    /// Whether there is no value.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What tells this list from others, also from those with which it shares values.
    pub fn address(self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }

    /// The list without its first value, which it must have.
    ///
    /// # Panics
    /// If the list is empty.
    pub fn tail(self) -> List {
        let rest = &self.items()[1..];
        if rest.len() < MIN_TAIL {
            return List::new(rest);
        }
        List::of_view(rest.as_ptr().expose_provenance(), rest.len(), self.view().and_then(|view| view.buffer))
    }

    /// The values of all `lists` in one list. Where the first or the last of them is long and came about like this
    /// too, the others are written beside its values.
    pub fn concat(lists: &[List]) -> List {
        let total = lists.iter().map(|list| list.len()).sum();
        if let Some(only) = lists.iter().find(|list| list.len() == total) {
            return *only;
        }
        count(|counters| &counters.concatenations, 1);
        let pieces: SmallVec<[&[Value]; 4]> = lists.iter().map(|list| list.items()).collect();
        if let [first, ..] = lists
            && first.may_share(total)
        {
            return first.grow_back(&pieces, total);
        }
        if let [.., last] = lists
            && last.may_share(total)
        {
            return last.grow_front(&pieces, total);
        }
        List::join(&pieces, total)
    }

    /// Whether values of other lists are better written beside this one's: a list that `++` made and that makes up most
    /// of the new one.
    fn may_share(self, total: usize) -> bool {
        self.0.len & GROWN != 0 && self.len() >= MIN_SHARED && self.len() * 2 >= total
    }

    fn join(pieces: &[&[Value]], total: usize) -> List {
        count(|counters| &counters.list_elements_copied, total);
        List::build_with(GROWN, total, |out| pieces.iter().for_each(|piece| out.extend_from_slice(piece)))
    }

    /// `pieces`, the first of which are the values of this list.
    fn grow_back(self, pieces: &[&[Value]], total: usize) -> List {
        if let Some(View { items, buffer: Some(buffer), .. }) = self.view() {
            let end = items + self.len() * size_of::<Value>();
            if buffer.append(end, &pieces[1..]) {
                count(|counters| &counters.list_elements_copied, total - self.len());
                return List::of_view(*items, total, Some(buffer));
            }
        }
        count(|counters| &counters.list_elements_copied, total);
        let buffer = Buffer::new(total * 2, 0, pieces);
        List::of_view(buffer.address(0), total, Some(buffer))
    }

    /// `pieces`, the last of which are the values of this list.
    fn grow_front(self, pieces: &[&[Value]], total: usize) -> List {
        if let Some(View { items, buffer: Some(buffer), .. }) = self.view()
            && buffer.prepend(*items, &pieces[..pieces.len() - 1])
        {
            let added = total - self.len();
            count(|counters| &counters.list_elements_copied, added);
            return List::of_view(items - added * size_of::<Value>(), total, Some(buffer));
        }
        count(|counters| &counters.list_elements_copied, total);
        let buffer = Buffer::new(total * 2, total, pieces);
        List::of_view(buffer.address(total), total, Some(buffer))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: List) -> Vec<i64> {
        list.items().iter().filter_map(|item| item.as_small_int()).collect()
    }

    fn one(number: i64) -> List {
        List::new(&[Value::int(number)])
    }

    #[test]
    fn lists_that_share_a_buffer_keep_their_own_values() {
        let (mut grown, mut all) = (List::EMPTY, Vec::new());
        for number in 0..200 {
            grown = List::concat(&[grown, one(number)]);
            all.push((grown, one(-1), List::concat(&[grown, one(1000 + number)])));
        }
        for (len, (list, _, other)) in (1..).zip(all) {
            assert_eq!(numbers(list), (0..len).collect::<Vec<_>>());
            assert_eq!(numbers(other), (0..len).chain([999 + len]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lists_grow_at_the_front_and_shrink_there() {
        let mut grown = List::EMPTY;
        for number in 0..100 {
            grown = List::concat(&[one(number), one(number), grown]);
        }
        let expected: Vec<i64> = (0..100).rev().flat_map(|number| [number, number]).collect();
        assert_eq!(numbers(grown), expected);
        let mut rest = grown;
        for start in 1..=expected.len() {
            rest = rest.tail();
            assert_eq!(numbers(rest), expected[start..]);
            let other = List::concat(&[one(7), rest, one(8)]);
            assert_eq!(other.len(), rest.len() + 2);
            assert_eq!(numbers(grown), expected);
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn only_one_of_two_threads_gets_the_room() {
        let mut base = List::EMPTY;
        (0..40).for_each(|number| base = List::concat(&[base, one(number)]));
        let grow = |number| move || numbers(List::concat(&[base, one(number)]));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|number| (number, scope.spawn(grow(number)))).collect();
            for (number, thread) in threads {
                let expected: Vec<i64> = (0..40).chain([number]).collect();
                assert_eq!(thread.join().unwrap(), expected);
            }
        });
    }
}
