//! Shapes: the names and positions of an attribute set, shared by all sets of the same form.

use std::cell::RefCell;
use std::hash::Hasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHasher;

use super::{Attr, arena};
use crate::position::Pos;
use crate::stats::count;
use crate::symbol::Symbol;

/// The names of an attribute set, sorted by symbol, with where each was defined.
pub struct Shape {
    /// Distinguishes shapes in inline caches; never reused.
    id: u64,
    keys: &'static [Symbol],
    positions: &'static [Pos],
    /// Whether it comes from the program's text, so that there are few of its kind and they are met again.
    lasting: bool,
    /// The slots in the order of the names' bytes, made when first asked for.
    by_name: OnceLock<&'static [u32]>,
    /// The same names without positions, made when first asked for.
    unplaced: OnceLock<&'static Shape>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A thread remembers this many shapes of sets that builtins made, each in the one place that its hash gives.
const PLACES: usize = 1 << 13;
/// Larger sets than this are rarely alike.
const LARGEST_SHARED: usize = 64;

thread_local! {
    static SHARED: RefCell<Vec<Option<&'static Shape>>> = const { RefCell::new(Vec::new()) };
}

/// Up to this many names, looking at each beats halving.
const LINEAR: usize = 8;

impl Shape {
    /// A shape of names that are sorted by symbol and distinct, for one set.
    pub fn new(keys: &'static [Symbol], positions: &'static [Pos]) -> &'static Shape {
        Shape::make(keys, positions, false)
    }

    /// A shape that the program's text gives, for many sets.
    pub fn lasting(keys: &'static [Symbol], positions: &'static [Pos]) -> &'static Shape {
        Shape::make(keys, positions, true)
    }

    /// A shape of attributes that are sorted by symbol and distinct. Builtins make many sets alike (`listToAttrs`,
    /// `removeAttrs`), and those share a shape.
    pub fn of(attrs: &[Attr]) -> &'static Shape {
        let make = |lasting| {
            let keys = arena::slice_with(attrs.len(), |slot| attrs[slot].name);
            Shape::make(keys, arena::slice_with(attrs.len(), |slot| attrs[slot].pos), lasting)
        };
        if attrs.len() > LARGEST_SHARED {
            return make(false);
        }
        let mut hasher = FxHasher::default();
        for attr in attrs {
            hasher.write_u64(u64::from(attr.name.number()) << 32 | u64::from(attr.pos.number()));
        }
        SHARED.with_borrow_mut(|places| {
            if places.is_empty() {
                places.resize(PLACES, None);
            }
            let place = &mut places[(hasher.finish() >> 32) as usize % PLACES];
            if let Some(shape) = *place
                && shape.is_of(attrs)
            {
                return shape;
            }
            let shape = make(true);
            *place = Some(shape);
            shape
        })
    }

    fn is_of(&self, attrs: &[Attr]) -> bool {
        self.keys.len() == attrs.len()
            && attrs
                .iter()
                .zip(self.keys.iter().zip(self.positions))
                .all(|(attr, (key, pos))| (attr.name, attr.pos) == (*key, *pos))
    }

    fn make(keys: &'static [Symbol], positions: &'static [Pos], lasting: bool) -> &'static Shape {
        debug_assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(keys.len(), positions.len());
        count(|counters| &counters.shapes, 1);
        count(|counters| &counters.shape_slots, keys.len());
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        arena::new(Shape { id, keys, positions, lasting, by_name: OnceLock::new(), unplaced: OnceLock::new() })
    }

    /// The shape of sets with these names that no text defines, as `mapAttrs` makes them.
    pub fn unplaced(&'static self) -> &'static Shape {
        if self.positions.iter().all(|pos| *pos == Pos::NONE) {
            return self;
        }
        self.unplaced.get_or_init(|| Shape::make(self.keys, arena::slice_with(self.len(), |_| Pos::NONE), self.lasting))
    }

    /// Whether the program's text gives it.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The number that inline caches compare.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The names, sorted by symbol.
    #[inline]
    pub fn keys(&self) -> &'static [Symbol] {
        self.keys
    }

    /// Where each name was defined, in the order of [`Shape::keys`].
    #[inline]
    pub fn positions(&self) -> &'static [Pos] {
        self.positions
    }

    /// The number of names.
    #[inline]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The slot of a name.
    #[inline]
    pub fn slot(&self, name: Symbol) -> Option<usize> {
        if self.keys.len() <= LINEAR {
            return self.keys.iter().position(|key| *key == name);
        }
        self.keys.binary_search(&name).ok()
    }

    /// The slots in the order of the names' bytes, which is the order that the language shows.
    pub fn by_name(&self) -> &'static [u32] {
        self.by_name.get_or_init(|| {
            // The bytes at hand, and the first of them as one number, make sorting large sets twice as fast.
            let entry = |(slot, key): (u32, &Symbol)| (first_bytes(key.bytes()), key.bytes(), slot);
            let mut entries: Vec<(u64, &[u8], u32)> = (0..).zip(self.keys).map(entry).collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
            arena::slice_with(entries.len(), |index| entries[index].2)
        })
    }
}

/// The first eight bytes as a number that orders as they do; shorter names end in zeros.
fn first_bytes(name: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = name.len().min(8);
    first[..len].copy_from_slice(&name[..len]);
    u64::from_be_bytes(first)
}
