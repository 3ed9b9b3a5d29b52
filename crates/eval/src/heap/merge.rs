//! Merging two attribute sets: which value goes where, remembered for shapes that come from the program's text.

use std::cell::RefCell;

use super::{Attrs, Shape, arena};
use crate::stats::count;
use crate::symbol::Symbol;

/// How to make the values of `base // over` for two shapes: the shape of the result, and for each of its slots the slot
/// of an operand, with [`OVER`] set for the second one.
#[derive(Clone, Copy)]
struct Plan {
    shape: &'static Shape,
    slots: &'static [u32],
}

const OVER: u32 = 1 << 31;

/// A thread remembers this many plans, each in the one place that its shapes' numbers give.
const PLACES: usize = 1 << 14;

type Place = Option<(u64, u64, Plan)>;

thread_local! {
    static PLANS: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

/// `base // over` as a flat set.
pub(super) fn merge(base: &'static Attrs, over: &'static Attrs) -> &'static Attrs {
    let ((base_shape, base_values), (over_shape, over_values)) = (base.parts(), over.parts());
    let value = |slot: u32| match slot & OVER {
        0 => base_values[slot as usize],
        _ => over_values[(slot & !OVER) as usize],
    };
    count(|counters| &counters.set_slots_copied, base_shape.len() + over_shape.len());
    if base_shape.is_lasting() && over_shape.is_lasting() {
        let plan = remembered_plan(base_shape, over_shape);
        return Attrs::build(plan.shape, |slot| value(plan.slots[slot]));
    }
    let slots = plan_slots(base_shape.keys(), over_shape.keys());
    let shape = merged_shape(base_shape, over_shape, &slots, false);
    Attrs::build(shape, |slot| value(slots[slot]))
}

fn remembered_plan(base: &'static Shape, over: &'static Shape) -> Plan {
    let hash = (base.id().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ over.id()).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let place = (hash >> 32) as usize % PLACES;
    PLANS.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize(PLACES, None);
        }
        if let Some((base_id, over_id, plan)) = places[place]
            && (base_id, over_id) == (base.id(), over.id())
        {
            return plan;
        }
        let slots = plan_slots(base.keys(), over.keys());
        let plan = Plan { shape: merged_shape(base, over, &slots, true), slots: arena::slice_of(&slots) };
        places[place] = Some((base.id(), over.id(), plan));
        plan
    })
}

fn plan_slots(base: &[Symbol], over: &[Symbol]) -> Vec<u32> {
    let mut slots = Vec::with_capacity(base.len() + over.len());
    let (mut b, mut o) = (0, 0);
    while b < base.len() && o < over.len() {
        if base[b] < over[o] {
            slots.push(b as u32);
            b += 1;
        } else {
            b += usize::from(base[b] == over[o]);
            slots.push(o as u32 | OVER);
            o += 1;
        }
    }
    slots.extend((b..base.len()).map(|slot| slot as u32));
    slots.extend((o..over.len()).map(|slot| slot as u32 | OVER));
    slots
}

fn merged_shape(base: &'static Shape, over: &'static Shape, slots: &[u32], lasting: bool) -> &'static Shape {
    let operand = |slot: u32| if slot & OVER == 0 { (base, slot) } else { (over, slot & !OVER) };
    let key = |index: usize| {
        let (shape, slot) = operand(slots[index]);
        shape.keys()[slot as usize]
    };
    let position = |index: usize| {
        let (shape, slot) = operand(slots[index]);
        shape.positions()[slot as usize]
    };
    // Replacing attributes by those of the same place, as a loop does, gives no new shape, and replacing some by others of
    // the same name no new names.
    let with_keys = [base, over].into_iter().filter(|shape| {
        shape.len() == slots.len() && shape.keys().iter().enumerate().all(|(index, name)| *name == key(index))
    });
    let mut keys = None;
    for shape in with_keys {
        if shape.positions().iter().enumerate().all(|(index, pos)| *pos == position(index)) {
            return shape;
        }
        keys = Some(shape.keys());
    }
    let keys = keys.unwrap_or_else(|| arena::slice_with(slots.len(), key));
    let positions = arena::slice_with(slots.len(), position);
    if lasting { Shape::lasting(keys, positions) } else { Shape::new(keys, positions) }
}
