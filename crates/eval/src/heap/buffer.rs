//! Values that several lists share, with room to grow on either side.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Value, arena};

/// A buffer of values, which follow it in memory. Lists refer to parts of what is in use; what lies before and behind is
/// free until a list that ends there is made longer.
#[repr(C)]
pub(super) struct Buffer {
    capacity: usize,
    /// Where what is in use begins and ends. Whoever moves one of them owns the room between its old and new place.
    front: AtomicUsize,
    back: AtomicUsize,
}

/// Values in a buffer, in several pieces to be written one after the other.
pub(super) type Pieces<'a> = &'a [&'a [Value]];

impl Buffer {
    /// A buffer for `capacity` values with `pieces` in it, the first of them at `front`.
    ///
    /// # Panics
    /// If there is no room for the pieces.
    pub(super) fn new(capacity: usize, front: usize, pieces: Pieces<'_>) -> &'static Buffer {
        let used: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(front + used <= capacity, "a buffer has room for what it is made for");
        let place = arena::allocate(size_of::<Buffer>() + capacity * size_of::<Value>()).cast::<Buffer>();
        // SAFETY: there is room for the header, and for `capacity` values behind it.
        let buffer = unsafe {
            place.write(Buffer { capacity, front: AtomicUsize::new(front), back: AtomicUsize::new(front + used) });
            place.as_ref()
        };
        // SAFETY: nobody else knows the buffer yet, and the pieces fit.
        unsafe { buffer.write(front, pieces) };
        buffer
    }

    /// The address of the value at `index`. Its provenance is exposed, as that of every chunk.
    pub(super) fn address(&'static self, index: usize) -> usize {
        std::ptr::from_ref(self).addr() + size_of::<Buffer>() + index * size_of::<Value>()
    }

    /// Writes `pieces` behind the list that ends at the address `end`, if nothing is there yet and there is room.
    pub(super) fn append(&'static self, end: usize, pieces: Pieces<'_>) -> bool {
        let more: usize = pieces.iter().map(|piece| piece.len()).sum();
        let back = self.back.load(Ordering::Relaxed);
        if self.address(back) != end || more > self.capacity - back {
            return false;
        }
        if self.back.compare_exchange(back, back + more, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: moving `back` made these places this caller's.
        unsafe { self.write(back, pieces) };
        true
    }

    /// Writes `pieces` before the list that begins at the address `start`, if nothing is there yet and there is room.
    pub(super) fn prepend(&'static self, start: usize, pieces: Pieces<'_>) -> bool {
        let more: usize = pieces.iter().map(|piece| piece.len()).sum();
        let front = self.front.load(Ordering::Relaxed);
        if self.address(front) != start || more > front {
            return false;
        }
        if self.front.compare_exchange(front, front - more, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: moving `front` made these places this caller's.
        unsafe { self.write(front - more, pieces) };
        true
    }

    /// # Safety
    /// The places from `index` on, as many as there are values in `pieces`, must be within the capacity and belong to
    /// the caller alone.
    unsafe fn write(&'static self, index: usize, pieces: Pieces<'_>) {
        let mut out: *mut Value = std::ptr::with_exposed_provenance_mut(self.address(index));
        for piece in pieces {
            // SAFETY: by the contract; a piece is initialised memory, and what belongs to the caller alone is not.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), out, piece.len());
                out = out.add(piece.len());
            }
        }
    }
}
