//! Per-thread bump allocation.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::mem::{align_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stats::count;

/// The first chunk of a thread; each later one doubles, up to `LARGEST_CHUNK`.
const FIRST_CHUNK: usize = 256 << 10;
const LARGEST_CHUNK: usize = 16 << 20;
/// The size of the kernel's huge pages. With them, touching fresh memory costs a fraction of the faults.
const HUGE_PAGE: usize = 2 << 20;
/// So much of the heap, of all threads, is in huge pages. They halve the time that the kernel takes for small evaluations, but
/// where much memory is new to a virtual machine each takes milliseconds to clear: a fourth of the time of all nixpkgs 2016.
const MOST_HUGE: usize = 32 << 20;
/// So much of a chunk of small pages is asked of the kernel together: a fault for each takes longer than clearing it, and what
/// is cleared should still be in the processor's cache when it is written.
const STEP: usize = 256 << 10;

/// Bytes of all chunks that were handed to threads, in this process.
static CHUNK_BYTES: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy)]
struct Bump {
    /// Addresses, with the provenance of the chunk: the next object, where what the kernel was asked for ends, and where the
    /// chunk ends.
    next: *mut u8,
    end: *mut u8,
    chunk_end: *mut u8,
    /// The size of the next chunk.
    chunk: usize,
}

thread_local! {
    static BUMP: Cell<Bump> = const {
        Cell::new(Bump {
            next: std::ptr::null_mut(),
            end: std::ptr::null_mut(),
            chunk_end: std::ptr::null_mut(),
            chunk: FIRST_CHUNK,
        })
    };
}

/// The bytes that the heaps of all threads hold, in whole chunks.
pub fn allocated_bytes() -> usize {
    CHUNK_BYTES.load(Ordering::Relaxed)
}

/// Room for `size` bytes, aligned to eight. The memory is zero and lives as long as the process.
#[inline]
pub(super) fn allocate(size: usize) -> NonNull<u8> {
    let size = (size + 7) & !7;
    count(|counters| &counters.allocated_bytes, size);
    BUMP.with(|cell| {
        let bump = cell.get();
        if (bump.end as usize) - (bump.next as usize) < size {
            return refill(cell, size);
        }
        // SAFETY: `size` bytes are left in the chunk, so the new pointer is at most its end.
        let next = unsafe { bump.next.add(size) };
        cell.set(Bump { next, ..bump });
        // SAFETY: the chunk is not null once `end - next` is positive; a size of zero in a fresh thread is handled by
        // `refill`, because callers never ask for zero bytes.
        unsafe { NonNull::new_unchecked(bump.next) }
    })
}

#[cold]
fn refill(cell: &Cell<Bump>, size: usize) -> NonNull<u8> {
    let bump = cell.get();
    if bump.chunk_end as usize - bump.next as usize >= size {
        let step = size.next_multiple_of(STEP).min(bump.chunk_end as usize - bump.end as usize);
        populate(bump.end, step);
        // SAFETY: `step` bytes are left in the chunk behind `end`; what is between `next` and the new end has room for `size`,
        // as it has at least that, or all that is left.
        let (next, end) = unsafe { (bump.next.add(size), bump.end.add(step)) };
        cell.set(Bump { next, end, ..bump });
        return NonNull::new(bump.next).expect("a chunk with room is no null");
    }
    // An object that would waste much of a chunk gets its own memory, and the chunk stays in use.
    if size > bump.chunk / 4 {
        return system(size);
    }
    let base = system(bump.chunk);
    let step = if use_huge_pages(base.as_ptr(), bump.chunk) {
        bump.chunk
    } else {
        let step = size.next_multiple_of(STEP).min(bump.chunk);
        populate(base.as_ptr(), step);
        step
    };
    // SAFETY: the offsets are within the chunk just obtained.
    let (next, end, chunk_end) =
        unsafe { (base.as_ptr().add(size), base.as_ptr().add(step), base.as_ptr().add(bump.chunk)) };
    cell.set(Bump { next, end, chunk_end, chunk: (bump.chunk * 2).min(LARGEST_CHUNK) });
    base
}

/// Fresh memory from the kernel, which is zero and is only taken once it is touched.
fn system(size: usize) -> NonNull<u8> {
    // Huge pages are aligned to their size; the kernel promises small pages only.
    let slack = if size >= HUGE_PAGE { HUGE_PAGE } else { 0 };
    CHUNK_BYTES.fetch_add(size, Ordering::Relaxed);
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let mapped = unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), size + slack, protection, flags, -1, 0)
    };
    if mapped == libc::MAP_FAILED {
        handle_alloc_error(Layout::new::<u8>());
    }
    let unaligned: *mut u8 = mapped.cast();
    let pointer =
        if slack == 0 { unaligned } else { unaligned.map_addr(|address| address.next_multiple_of(HUGE_PAGE)) };
    // Values are made of addresses; whoever follows one borrows the provenance of the whole chunk.
    pointer.expose_provenance();
    NonNull::new(pointer).expect("the kernel maps nothing at address zero")
}

/// Asks for huge pages for a fresh chunk, where they pay. As [`populate`], it is advice only: where the kernel does not take it,
/// nothing is lost.
fn use_huge_pages(start: *mut u8, size: usize) -> bool {
    if size < HUGE_PAGE || allocated_bytes() > MOST_HUGE {
        return false;
    }
    // SAFETY: the range is within a mapping of ours, whose bytes this does not change.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_HUGEPAGE) == 0 }
}

/// Has the kernel make the pages of a range.
fn populate(start: *mut u8, size: usize) {
    // SAFETY: the range is within a mapping of ours, whose bytes this does not change.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_POPULATE_WRITE) };
}

/// Moves `value` into the heap. Its destructor never runs.
#[inline]
pub fn new<T: Send + Sync + 'static>(value: T) -> &'static T {
    const { assert!(align_of::<T>() <= 8) };
    let place = allocate(size_of::<T>().max(8)).cast::<T>();
    // SAFETY: `place` is fresh memory with room for a `T`, aligned to eight, and is never freed.
    unsafe {
        place.write(value);
        place.as_ref()
    }
}

/// Copies `items` into the heap.
pub fn slice_of<T: Copy + Send + Sync + 'static>(items: &[T]) -> &'static [T] {
    const { assert!(align_of::<T>() <= 8) };
    if items.is_empty() {
        return &[];
    }
    let place = allocate(size_of_val(items)).cast::<T>();
    // SAFETY: `place` is fresh memory with room for all items and does not overlap them.
    unsafe {
        std::ptr::copy_nonoverlapping(items.as_ptr(), place.as_ptr(), items.len());
        std::slice::from_raw_parts(place.as_ptr(), items.len())
    }
}

/// Fills a slice of the heap in place with what `item` gives for each index. What `item` itself allocates lies behind.
#[inline]
pub fn slice_with<T: Copy + Send + Sync + 'static>(len: usize, mut item: impl FnMut(usize) -> T) -> &'static [T] {
    const { assert!(align_of::<T>() <= 8) };
    if len == 0 {
        return &[];
    }
    let place = allocate(len * size_of::<T>()).cast::<T>();
    for index in 0..len {
        // SAFETY: `index` is below the number of items that `place` has room for.
        unsafe { place.add(index).write(item(index)) };
    }
    // SAFETY: all `len` items were just written.
    unsafe { std::slice::from_raw_parts(place.as_ptr(), len) }
}

/// Moves what an iterator yields into the heap.
pub fn slice_from_iter<T: Send + Sync + 'static>(items: impl IntoIterator<Item = T>) -> &'static [T] {
    const { assert!(align_of::<T>() <= 8) };
    let items: Vec<T> = items.into_iter().collect();
    if items.is_empty() {
        return &[];
    }
    let place = allocate(size_of_val(items.as_slice())).cast::<T>();
    let count = items.len();
    for (index, item) in items.into_iter().enumerate() {
        // SAFETY: `index` is below the number of items that `place` has room for.
        unsafe { place.add(index).write(item) };
    }
    // SAFETY: all `count` items were just written.
    unsafe { std::slice::from_raw_parts(place.as_ptr(), count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_aligned_and_distinct_across_chunks() {
        let mut last = std::ptr::null();
        for i in 0..100_000u64 {
            let object = new([i, i + 1, i + 2]);
            assert_eq!(object[2], i + 2);
            assert_eq!(object.as_ptr() as usize % 8, 0);
            assert_ne!(object.as_ptr(), last);
            last = object.as_ptr();
        }
        assert_eq!(slice_of(&[1u8, 2, 3]), [1, 2, 3]);
        assert_eq!(slice_of(&vec![7u64; 1 << 20]).len(), 1 << 20);
    }
}
