//! Attribute sets: a shape and its values, or a small set laid over a large one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Shape, Value, arena};
use crate::position::Pos;
use crate::symbol::Symbol;

/// An attribute set of the heap.
pub struct Attrs(Form);

enum Form {
    Flat { shape: &'static Shape, values: &'static [Value] },
    Layered(Layered),
}

/// `base // over`, not merged yet.
struct Layered {
    base: &'static Attrs,
    over: &'static Attrs,
    /// At least the number of attributes.
    bound: u32,
    depth: u32,
    /// The merged set, made when somebody needs all attributes.
    merged: OnceLock<&'static Attrs>,
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

static NO_SHAPE: OnceLock<&'static Attrs> = OnceLock::new();

impl Attrs {
    /// The empty set.
    pub fn empty() -> &'static Attrs {
        NO_SHAPE.get_or_init(|| Attrs::flat(Shape::new(&[], &[]), &[]))
    }

    /// A set of the given shape.
    ///
    /// # Panics
    /// If the number of values is not the shape's.
    #[inline]
    pub fn flat(shape: &'static Shape, values: &'static [Value]) -> &'static Attrs {
        assert_eq!(shape.len(), values.len());
        arena::new(Attrs(Form::Flat { shape, values }))
    }

    /// A set of the given shape, with what `value` gives for each slot.
    #[inline]
    pub fn build(shape: &'static Shape, value: impl FnMut(usize) -> Value) -> &'static Attrs {
        Attrs::flat(shape, arena::slice_with(shape.len(), value))
    }

    /// The number of attributes.
    pub fn len(&'static self) -> usize {
        self.parts().0.len()
    }

    /// Whether there is no attribute.
    pub fn is_empty(&'static self) -> bool {
        matches!(&self.0, Form::Flat { shape, .. } if shape.is_empty())
    }

    /// The shape, and the values in its order. Merges layers.
    #[inline]
    pub fn parts(&'static self) -> (&'static Shape, &'static [Value]) {
        match &self.0 {
            Form::Flat { shape, values } => (shape, values),
            Form::Layered(layered) => layered.merged().parts(),
        }
    }

    /// The value of an attribute.
    #[inline]
    pub fn get(&'static self, name: Symbol) -> Option<Value> {
        let mut attrs = self;
        loop {
            match &attrs.0 {
                Form::Flat { shape, values } => return shape.slot(name).map(|slot| values[slot]),
                Form::Layered(layered) => match layered.merged.get() {
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
        let Form::Flat { shape, values } = &self.0 else { return self.get(name) };
        let word = cache.0.load(Ordering::Relaxed);
        if word >> SLOT_BITS == shape.id() {
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
        match &self.0 {
            Form::Flat { shape, values } => {
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
        if base.bound() < MIN_LAYERED || over.bound() * 4 > base.bound() {
            return merge(base, over);
        }
        if let Form::Layered(below) = &base.0
            && below.merged.get().is_none()
            && (below.depth >= MAX_DEPTH || over.bound() * 2 >= below.over.bound())
        {
            return Attrs::update(below.base, merge(below.over, over));
        }
        let bound = (base.bound() + over.bound()) as u32;
        let depth = base.depth().max(over.depth()) + 1;
        arena::new(Attrs(Form::Layered(Layered { base, over, bound, depth, merged: OnceLock::new() })))
    }

    fn bound(&'static self) -> usize {
        match &self.0 {
            Form::Flat { values, .. } => values.len(),
            Form::Layered(layered) => layered.bound as usize,
        }
    }

    fn depth(&'static self) -> u32 {
        match &self.0 {
            Form::Flat { .. } => 0,
            Form::Layered(layered) => layered.merged.get().map_or(layered.depth, |_| 0),
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
    fn merged(&'static self) -> &'static Attrs {
        self.merged.get_or_init(|| merge(self.base, self.over))
    }
}

#[inline]
fn attr_at(shape: &'static Shape, values: &'static [Value], slot: usize) -> Attr {
    Attr { name: shape.keys()[slot], value: values[slot], pos: shape.positions()[slot] }
}

/// Merges two sets into a flat one; `over` wins.
fn merge(base: &'static Attrs, over: &'static Attrs) -> &'static Attrs {
    let ((base_shape, base_values), (over_shape, over_values)) = (base.parts(), over.parts());
    let (base_keys, over_keys) = (base_shape.keys(), over_shape.keys());
    let mut out = AttrsBuilder::with_capacity(base_keys.len() + over_keys.len());
    let (mut b, mut o) = (0, 0);
    while b < base_keys.len() && o < over_keys.len() {
        if base_keys[b] < over_keys[o] {
            out.push_sorted(attr_at(base_shape, base_values, b));
            b += 1;
        } else {
            b += usize::from(base_keys[b] == over_keys[o]);
            out.push_sorted(attr_at(over_shape, over_values, o));
            o += 1;
        }
    }
    (b..base_keys.len()).for_each(|slot| out.push_sorted(attr_at(base_shape, base_values, slot)));
    (o..over_keys.len()).for_each(|slot| out.push_sorted(attr_at(over_shape, over_values, slot)));
    out.finish_sorted()
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
        let keys = arena::slice_from_iter(self.attrs.iter().map(|attr| attr.name));
        let positions = arena::slice_from_iter(self.attrs.iter().map(|attr| attr.pos));
        let values = arena::slice_from_iter(self.attrs.iter().map(|attr| attr.value));
        Attrs::flat(Shape::new(keys, positions), values)
    }
}

impl FromIterator<Attr> for &'static Attrs {
    fn from_iter<I: IntoIterator<Item = Attr>>(attrs: I) -> &'static Attrs {
        AttrsBuilder { attrs: attrs.into_iter().collect() }.finish()
    }
}
