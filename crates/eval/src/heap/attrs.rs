//! Attribute sets: a shape and its values, or a small set laid over a large one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::merge::merge;
use super::{Shape, Value, arena};
use crate::position::Pos;
use crate::stats::count;
use crate::symbol::Symbol;

/// An attribute set of the heap. In memory, what follows this word is a value for each name of the shape; or, for a set
/// without a shape, [`Layered`].
#[repr(C)]
pub struct Attrs {
    shape: Option<&'static Shape>,
}

const _: () = assert!(size_of::<Attrs>() == 8);

/// What a set is made of.
enum Form {
    Flat(&'static Shape, &'static [Value]),
    Layered(&'static Layered),
}

/// `base // over`, not merged yet.
#[repr(C)]
struct Layered {
    base: &'static Attrs,
    over: &'static Attrs,
    /// At least the number of attributes.
    bound: u32,
    depth: u32,
    /// The merged set, made when somebody needs all attributes. Two threads may make it; either is as good.
    merged: AtomicPtr<Attrs>,
}

/// One attribute.
#[derive(Clone, Copy)]
pub struct Attr {
    /// Its name.
    pub name: Symbol,
    /// Its value, often a thunk.
    pub value: Value,
    /// Where it was defined; [`Pos::NONE`] if nowhere in particular.
    pub pos: Pos,
}

/// Remembers, at one place of the code, where the last attribute set had the name that is looked up there.
#[derive(Default)]
pub struct InlineCache(AtomicU64);

/// The bits of a cache word that hold the slot; the rest holds the shape's number.
const SLOT_BITS: u32 = 24;
/// A lookup goes through no more than this many layers.
const MAX_DEPTH: u32 = 8;
/// Sets smaller than this are always copied.
const MIN_LAYERED: usize = 12;

impl Attrs {
    /// The empty set.
    pub fn empty() -> &'static Attrs {
        static EMPTY: OnceLock<&'static Attrs> = OnceLock::new();
        EMPTY.get_or_init(|| Attrs::build(Shape::lasting(&[], &[]), |_| Value::NULL))
    }

    /// A set of the given shape, with what `value` gives for each slot.
    #[inline]
    pub fn build(shape: &'static Shape, mut value: impl FnMut(usize) -> Value) -> &'static Attrs {
        count(|counters| &counters.sets, 1);
        count(|counters| &counters.set_slots, shape.len());
        let place = arena::allocate(size_of::<Attrs>() + shape.len() * size_of::<Value>());
        // SAFETY: there is room for the header and a value for each name behind it. What `value` allocates lies
        // elsewhere, and nobody sees the set before all values are written.
        unsafe {
            place.cast::<Attrs>().write(Attrs { shape: Some(shape) });
            let values = place.add(size_of::<Attrs>()).cast::<Value>();
            for slot in 0..shape.len() {
                values.add(slot).write(value(slot));
            }
            place.cast::<Attrs>().as_ref()
        }
    }

    fn layer(layered: Layered) -> &'static Attrs {
        count(|counters| &counters.sets, 1);
        count(|counters| &counters.layered_updates, 1);
        let place = arena::allocate(size_of::<Attrs>() + size_of::<Layered>());
        // SAFETY: there is room for the header and the layers behind it, both aligned to eight.
        unsafe {
            place.cast::<Attrs>().write(Attrs { shape: None });
            place.add(size_of::<Attrs>()).cast::<Layered>().write(layered);
            place.cast::<Attrs>().as_ref()
        }
    }

    #[inline]
    fn form(&'static self) -> Form {
        let behind = std::ptr::from_ref(self).addr() + size_of::<Attrs>();
        match self.shape {
            Some(shape) => {
                let values = std::ptr::with_exposed_provenance(behind);
                // SAFETY: `build` wrote that many values behind the header, in one chunk, whose provenance is exposed.
                Form::Flat(shape, unsafe { std::slice::from_raw_parts(values, shape.len()) })
            }
            // SAFETY: only `layer` makes a set without a shape, and writes the layers behind the header.
            None => Form::Layered(unsafe { &*std::ptr::with_exposed_provenance(behind) }),
        }
    }

    /// The number of attributes.
    pub fn len(&'static self) -> usize {
        self.parts().0.len()
    }

    /// Whether there is no attribute.
    pub fn is_empty(&'static self) -> bool {
        self.shape.is_some_and(Shape::is_empty)
    }

    /// The shape, and the values in its order. Merges layers.
    #[inline]
    pub fn parts(&'static self) -> (&'static Shape, &'static [Value]) {
        match self.form() {
            Form::Flat(shape, values) => (shape, values),
            Form::Layered(layered) => layered.merged().parts(),
        }
    }

    /// The value of an attribute.
    #[inline]
    pub fn get(&'static self, name: Symbol) -> Option<Value> {
        count(|counters| &counters.lookups, 1);
        let mut attrs = self;
        loop {
            match attrs.form() {
                Form::Flat(shape, values) => return shape.slot(name).map(|slot| values[slot]),
                Form::Layered(layered) => match layered.known() {
                    Some(merged) => attrs = merged,
                    None => match layered.over.get(name) {
                        Some(value) => return Some(value),
                        None => attrs = layered.base,
                    },
                },
            }
        }
    }

    /// The value of an attribute, with help from what the same code found before.
    #[inline]
    pub fn get_cached(&'static self, name: Symbol, cache: &InlineCache) -> Option<Value> {
        count(|counters| &counters.lookups, 1);
        let mut attrs = self;
        let (shape, values) = loop {
            match attrs.form() {
                Form::Flat(shape, values) => break (shape, values),
                Form::Layered(layered) => match layered.known() {
                    Some(merged) => attrs = merged,
                    None => match layered.over.get(name) {
                        Some(value) => return Some(value),
                        None => attrs = layered.base,
                    },
                },
            }
        };
        let word = cache.0.load(Ordering::Relaxed);
        if word >> SLOT_BITS == shape.id() {
            count(|counters| &counters.cached_lookups, 1);
            return Some(values[(word & ((1 << SLOT_BITS) - 1)) as usize]);
        }
        let slot = shape.slot(name)?;
        if slot < 1 << SLOT_BITS {
            cache.0.store((shape.id() << SLOT_BITS) | slot as u64, Ordering::Relaxed);
        }
        Some(values[slot])
    }

    /// An attribute with its position.
    pub fn attr(&'static self, name: Symbol) -> Option<Attr> {
        match self.form() {
            Form::Flat(shape, values) => {
                let slot = shape.slot(name)?;
                Some(Attr { name, value: values[slot], pos: shape.positions()[slot] })
            }
            Form::Layered(layered) => layered.over.attr(name).or_else(|| layered.base.attr(name)),
        }
    }

    /// The attributes in an order of their own (by symbol), which is the cheapest.
    pub fn iter(&'static self) -> impl ExactSizeIterator<Item = Attr> {
        let (shape, values) = self.parts();
        (0..values.len()).map(move |slot| attr_at(shape, values, slot))
    }

    /// The attributes in the order of their names' bytes.
    pub fn by_name(&'static self) -> impl ExactSizeIterator<Item = Attr> {
        let (shape, values) = self.parts();
        shape.by_name().iter().map(move |slot| attr_at(shape, values, *slot as usize))
    }

    /// `base // over`.
    pub fn update(base: &'static Attrs, over: &'static Attrs) -> &'static Attrs {
        if over.is_empty() {
            return base;
        }
        if base.is_empty() {
            return over;
        }
        if base.bound() < MIN_LAYERED || over.bound() * 2 > base.bound() {
            return merge(base, over);
        }
        if let Form::Layered(below) = base.form()
            && below.known().is_none()
            && (below.depth >= MAX_DEPTH || over.bound() * 2 >= below.over.bound())
        {
            return Attrs::update(below.base, merge(below.over, over));
        }
        let bound = (base.bound() + over.bound()) as u32;
        let depth = base.depth().max(over.depth()) + 1;
        Attrs::layer(Layered { base, over, bound, depth, merged: AtomicPtr::default() })
    }

    fn bound(&'static self) -> usize {
        match self.form() {
            Form::Flat(_, values) => values.len(),
            Form::Layered(layered) => layered.bound as usize,
        }
    }

    fn depth(&'static self) -> u32 {
        match self.form() {
            Form::Flat(..) => 0,
            Form::Layered(layered) => layered.known().map_or(layered.depth, |_| 0),
        }
    }

    /// The set without the attributes for which `drop` says so.
    pub fn without(&'static self, mut drop: impl FnMut(Symbol) -> bool) -> &'static Attrs {
        let (shape, _) = self.parts();
        if !shape.keys().iter().any(|key| drop(*key)) {
            return self;
        }
        let mut builder = AttrsBuilder::with_capacity(shape.len());
        for attr in self.iter().filter(|attr| !drop(attr.name)) {
            builder.push_sorted(attr);
        }
        builder.finish_sorted()
    }
}

impl Layered {
    /// The merged set, if somebody made it.
    #[inline]
    fn known(&self) -> Option<&'static Attrs> {
        let merged = self.merged.load(Ordering::Acquire);
        // SAFETY: the pointer is null or was stored by `merged`, from a `&'static Attrs`.
        unsafe { merged.as_ref() }
    }

    fn merged(&'static self) -> &'static Attrs {
        self.known().unwrap_or_else(|| {
            let merged = merge(self.base, self.over);
            self.merged.store(std::ptr::from_ref(merged).cast_mut(), Ordering::Release);
            merged
        })
    }
}

#[inline]
fn attr_at(shape: &'static Shape, values: &'static [Value], slot: usize) -> Attr {
    Attr { name: shape.keys()[slot], value: values[slot], pos: shape.positions()[slot] }
}

/// Collects attributes in any order.
#[derive(Default)]
pub struct AttrsBuilder {
    attrs: Vec<Attr>,
}

impl AttrsBuilder {
    /// A builder with room for `capacity` attributes.
    pub fn with_capacity(capacity: usize) -> AttrsBuilder {
        AttrsBuilder { attrs: Vec::with_capacity(capacity) }
    }

    /// Adds an attribute without a position.
    pub fn push(&mut self, name: Symbol, value: Value) {
        self.attrs.push(Attr { name, value, pos: Pos::NONE });
    }

    /// Adds an attribute.
    pub fn push_attr(&mut self, attr: Attr) {
        self.attrs.push(attr);
    }

    /// Whether there is an attribute of that name. Looks at all of them.
    pub fn contains(&self, name: Symbol) -> bool {
        self.attrs.iter().any(|attr| attr.name == name)
    }

    fn push_sorted(&mut self, attr: Attr) {
        self.attrs.push(attr);
    }

    /// The set. Of several attributes with one name the first counts, as in `listToAttrs`.
    pub fn finish(mut self) -> &'static Attrs {
        self.attrs.sort_by_key(|attr| attr.name);
        self.attrs.dedup_by_key(|attr| attr.name);
        self.finish_sorted()
    }

    /// The set of attributes that were added in the order of their symbols, each name once.
    fn finish_sorted(self) -> &'static Attrs {
        if self.attrs.is_empty() {
            return Attrs::empty();
        }
        let attrs = &self.attrs;
        Attrs::build(Shape::of(attrs), |slot| attrs[slot].value)
    }
}

impl FromIterator<Attr> for &'static Attrs {
    fn from_iter<I: IntoIterator<Item = Attr>>(attrs: I) -> &'static Attrs {
        AttrsBuilder { attrs: attrs.into_iter().collect() }.finish()
    }
}
