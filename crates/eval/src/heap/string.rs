//! Strings: bytes, and rarely a context.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::{Context, ContextBuilder, arena};
use crate::stats::count;

/// A string of the heap. Nix strings are bytes; most are UTF-8.
#[repr(C)]
pub struct Str {
    len: usize,
    context: Option<&'static Context>,
    // The bytes follow in memory.
}

const _: () = assert!(size_of::<Str>() == 16);

/// In [`Str::len`]: the bytes are elsewhere, and this is the first field of a [`View`].
const VIEW: usize = 1 << 63;
/// In [`Str::len`]: the string is a concatenation.
const GROWN: usize = 1 << 62;
const LEN: usize = GROWN - 1;

/// A string whose bytes are elsewhere.
#[repr(C)]
struct View {
    string: Str,
    /// The address of the first byte; its provenance is exposed.
    bytes: usize,
    /// The buffer that the bytes lie in, if it may grow.
    buffer: Option<&'static Buffer>,
}

/// Bytes that several strings share, with room to grow. The bytes follow in memory.
#[repr(C)]
struct Buffer {
    capacity: usize,
    /// Where what is in use ends. Whoever moves it owns the room between its old and new place.
    used: AtomicUsize,
}

/// Shorter strings are just copied.
const MIN_SHARED: usize = 128;

impl Str {
    /// Copies `bytes` into the heap.
    pub fn new(bytes: &[u8], context: Option<&'static Context>) -> &'static Str {
        Str::join(0, &[bytes], context)
    }

    /// The concatenation of `parts`.
    pub fn concat(parts: &[&[u8]], context: Option<&'static Context>) -> &'static Str {
        Str::join(GROWN, parts, context)
    }

    fn join(flags: usize, parts: &[&[u8]], context: Option<&'static Context>) -> &'static Str {
        let len = parts.iter().map(|part| part.len()).sum();
        count(|counters| &counters.strings, 1);
        count(|counters| &counters.string_bytes, len);
        let place = arena::allocate(size_of::<Str>() + len);
        // SAFETY: there is room for the header and for `len` bytes behind it, and fresh memory overlaps with nothing.
        unsafe {
            place.cast::<Str>().write(Str { len: len | flags, context });
            write(place.as_ptr().add(size_of::<Str>()), parts);
            place.cast::<Str>().as_ref()
        }
    }

    /// This string with `parts` after it. A long string that came about like this is not copied: the parts are written
    /// behind its bytes, so that a string that grows step by step costs its length and not the square of that.
    pub fn append(&'static self, parts: &[&[u8]], context: Option<&'static Context>) -> &'static Str {
        let more = parts.iter().map(|part| part.len()).sum::<usize>();
        let (len, total) = (self.len(), self.len() + more);
        let all = || {
            let mut all: SmallVec<[&[u8]; 8]> = SmallVec::with_capacity(parts.len() + 1);
            all.push(self.bytes());
            all.extend_from_slice(parts);
            all
        };
        if self.len & GROWN == 0 || len < MIN_SHARED || more > len {
            return Str::concat(&all(), context);
        }
        if let Some(View { bytes, buffer: Some(buffer), .. }) = self.view()
            && buffer.append(bytes + len, more, parts)
        {
            count(|counters| &counters.string_bytes, more);
            return Str::of_view(*bytes, total, context, Some(buffer));
        }
        count(|counters| &counters.string_bytes, total);
        let buffer = Buffer::new(total * 2, &all());
        Str::of_view(buffer.address(0), total, context, Some(buffer))
    }

    /// A part of this string, with its context.
    ///
    /// # Panics
    /// If the range does not lie within the string.
    pub fn slice(&'static self, range: std::ops::Range<usize>) -> &'static Str {
        let part = &self.bytes()[range];
        if part.len() < MIN_SHARED {
            return Str::new(part, self.context);
        }
        Str::of_view(part.as_ptr().expose_provenance(), part.len(), self.context, None)
    }

    fn of_view(
        bytes: usize,
        len: usize,
        context: Option<&'static Context>,
        buffer: Option<&'static Buffer>,
    ) -> &'static Str {
        count(|counters| &counters.strings, 1);
        &arena::new(View { string: Str { len: len | VIEW | GROWN, context }, bytes, buffer }).string
    }

    #[inline]
    fn len(&self) -> usize {
        self.len & LEN
    }

    #[inline]
    fn view(&'static self) -> Option<&'static View> {
        if self.len & VIEW == 0 {
            return None;
        }
        // SAFETY: only `of_view` sets the flag, in the first field of a view, whose chunk is exposed.
        Some(unsafe { &*std::ptr::with_exposed_provenance(std::ptr::from_ref(self).addr()) })
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&'static self) -> &'static [u8] {
        let first = match self.view() {
            None => std::ptr::from_ref(self).addr() + size_of::<Str>(),
            Some(view) => view.bytes,
        };
        // SAFETY: `join` wrote `len` bytes behind the header, in one chunk, whose provenance is exposed; those of a view
        // were written before it was made, and are never written again.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(first), self.len()) }
    }

    /// The text, with what is not UTF-8 replaced.
    pub fn text(&'static self) -> std::borrow::Cow<'static, str> {
        String::from_utf8_lossy(self.bytes())
    }

    /// What the string refers to; `None` if nothing.
    #[inline]
    pub fn context(&self) -> Option<&'static Context> {
        self.context
    }
}

/// # Safety
/// There must be room for all `parts` at `out`, which they must not overlap.
unsafe fn write(mut out: *mut u8, parts: &[&[u8]]) {
    for part in parts {
        // SAFETY: by the contract.
        unsafe {
            std::ptr::copy_nonoverlapping(part.as_ptr(), out, part.len());
            out = out.add(part.len());
        }
    }
}

impl Buffer {
    /// A buffer for `capacity` bytes with `parts` in it, which must fit.
    fn new(capacity: usize, parts: &[&[u8]]) -> &'static Buffer {
        let used: usize = parts.iter().map(|part| part.len()).sum();
        assert!(used <= capacity, "a buffer has room for what it is made for");
        let place = arena::allocate(size_of::<Buffer>() + capacity).cast::<Buffer>();
        // SAFETY: there is room for the header and `capacity` bytes behind it, and nobody else knows them.
        unsafe {
            place.write(Buffer { capacity, used: AtomicUsize::new(used) });
            write(place.add(1).cast().as_ptr(), parts);
            place.as_ref()
        }
    }

    /// The address of the byte at `index`. Its provenance is exposed, as that of every chunk.
    fn address(&'static self, index: usize) -> usize {
        std::ptr::from_ref(self).addr() + size_of::<Buffer>() + index
    }

    /// Writes `parts`, of `more` bytes, behind the string that ends at the address `end`, if nothing is there yet and
    /// there is room.
    fn append(&'static self, end: usize, more: usize, parts: &[&[u8]]) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        if self.address(used) != end || more > self.capacity - used {
            return false;
        }
        if self.used.compare_exchange(used, used + more, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: moving `used` made these bytes this caller's, and what is readable elsewhere ends before them.
        unsafe { write(std::ptr::with_exposed_provenance_mut(self.address(used)), parts) };
        true
    }
}

impl fmt::Debug for &'static Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// Collects the bytes and the context of a string that is being made.
#[derive(Default)]
pub struct StrBuilder {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    /// The context so far.
    pub context: ContextBuilder,
}

impl StrBuilder {
    /// With room for some bytes.
    pub fn with_capacity(bytes: usize) -> StrBuilder {
        StrBuilder { bytes: Vec::with_capacity(bytes), ..StrBuilder::default() }
    }

    /// Appends a string with its context.
    pub fn push(&mut self, string: &'static Str) {
        self.bytes.extend_from_slice(string.bytes());
        self.context.add(string.context());
    }

    /// The finished string.
    pub fn finish(self) -> &'static Str {
        Str::new(&self.bytes, self.context.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_share_a_buffer_keep_their_own_bytes() {
        let mut grown = Str::new(b"", None);
        let mut expected = Vec::new();
        let mut all = Vec::new();
        for number in 0..500 {
            let piece = number.to_string();
            expected.extend_from_slice(piece.as_bytes());
            grown = grown.append(&[piece.as_bytes()], None);
            all.push((grown, grown.append(&[b"!"], None), expected.len()));
        }
        for (string, other, len) in all {
            assert_eq!(string.bytes(), &expected[..len]);
            assert_eq!(other.bytes(), [&expected[..len], b"!"].concat());
        }
        assert_eq!(grown.slice(3..400).bytes(), &expected[3..400]);
    }

    #[test]
    fn only_one_of_several_threads_gets_the_room() {
        let base = Str::concat(&[&[b'x'; 200]], None).append(&[b"y"], None);
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                scope.spawn(move || {
                    let string = base.append(&[&[number; 50]], None);
                    assert_eq!(string.bytes()[201..], [number; 50]);
                    assert_eq!(string.bytes()[..201], *base.bytes());
                });
            }
        });
    }
}
