//! Lists.

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{self, AttrsBuilder, Kind, List, Value};
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("all", 2, 0b11, |interp, args| any_is(interp, args, false).map(|found| Value::bool(!found))),
    Builtin::new("any", 2, 0b11, |interp, args| any_is(interp, args, true).map(Value::bool)),
    Builtin::new("concatLists", 1, 0b1, concat_lists),
    Builtin::new("concatMap", 2, 0b11, concat_map),
    Builtin::new("elem", 2, 0b10, elem),
    Builtin::new("elemAt", 2, 0b11, elem_at),
    Builtin::new("filter", 2, 0b10, filter),
    Builtin::new("foldl'", 3, 0b101, fold),
    Builtin::new("genericClosure", 1, 0b1, generic_closure),
    Builtin::new("genList", 2, 0b10, gen_list),
    Builtin::new("groupBy", 2, 0b11, group_by),
    Builtin::new("head", 1, 0b1, head),
    Builtin::new("length", 1, 0b1, |interp, args| Ok(Value::int(interp.force_list(args[0])?.len() as i64))),
    Builtin::global("map", 2, 0b10, map),
    Builtin::new("partition", 2, 0b11, partition),
    Builtin::new("sort", 2, 0b10, sort),
    Builtin::new("tail", 1, 0b1, tail),
];

/// Whether the predicate gives `wanted` for any element.
fn any_is(interp: &Interp, args: &[Value], wanted: bool) -> Result<bool> {
    interp.force_function(args[0])?;
    for item in interp.force_list(args[1])?.items() {
        if predicate(interp, args[0], *item)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn predicate(interp: &Interp, function: Value, item: Value) -> Result<bool> {
    let answer = interp.call(function, &[item])?;
    interp.force_bool(answer)
}

fn concat_lists(interp: &Interp, args: &[Value]) -> Result<Value> {
    let lists = interp.force_list(args[0])?;
    let lists = lists.items().iter().map(|list| interp.force_list(*list)).collect::<Result<Vec<_>>>()?;
    Ok(List::concat(&lists).into())
}

fn concat_map(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_function(args[0])?;
    let mut lists = Vec::new();
    for item in interp.force_list(args[1])?.items() {
        let list = interp.call(args[0], &[*item])?;
        lists.push(interp.force_list(list)?);
    }
    Ok(List::concat(&lists).into())
}

fn elem(interp: &Interp, args: &[Value]) -> Result<Value> {
    for item in interp.force_list(args[1])?.items() {
        if interp.same_or_equal(args[0], *item)? {
            return Ok(Value::TRUE);
        }
    }
    Ok(Value::FALSE)
}

fn elem_at(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (index, list) = (interp.force_int(args[1])?, interp.force_list(args[0])?);
    match usize::try_from(index).ok().and_then(|index| list.items().get(index)) {
        Some(item) => interp.force(*item),
        None => Err(Error::other(format!("the index {index} is outside of a list of {} elements", list.len()))),
    }
}

fn head(interp: &Interp, args: &[Value]) -> Result<Value> {
    match interp.force_list(args[0])?.items().first() {
        Some(item) => interp.force(*item),
        None => Err(Error::other("'builtins.head' is called with an empty list")),
    }
}

fn tail(interp: &Interp, args: &[Value]) -> Result<Value> {
    let list = interp.force_list(args[0])?;
    if list.is_empty() {
        return Err(Error::other("'builtins.tail' is called with an empty list"));
    }
    Ok(list.tail().into())
}

fn filter(interp: &Interp, args: &[Value]) -> Result<Value> {
    let list = interp.force_list(args[1])?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let function = interp.force_function(args[0])?;
    let mut kept = Vec::with_capacity(list.len());
    for item in list.items() {
        if predicate(interp, function, *item)? {
            kept.push(*item);
        }
    }
    Ok(if kept.len() == list.len() { args[1] } else { Value::list(&kept) })
}

fn fold(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_function(args[0])?;
    let mut result = args[1];
    for item in interp.force_list(args[2])?.items() {
        result = interp.call(args[0], &[result, *item])?;
    }
    interp.force(result)
}

fn map(interp: &Interp, args: &[Value]) -> Result<Value> {
    let list = interp.force_list(args[1])?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let function = heap::new(interp.force_function(args[0])?);
    let mapped = List::build(list.len(), |out| {
        list.items().iter().for_each(|item| out.push(interp.defer_call(function, *item)));
    });
    Ok(mapped.into())
}

/// The longest list that is made at once; a longer one would only exhaust the memory.
const LONGEST: i64 = 1 << 32;

fn gen_list(interp: &Interp, args: &[Value]) -> Result<Value> {
    let length = interp.force_int(args[1])?;
    if !(0..=LONGEST).contains(&length) {
        return Err(Error::other(format!("cannot create a list of {length} elements")));
    }
    let function = heap::new(interp.force_function(args[0])?);
    let list = List::build(length as usize, |out| {
        (0..length).for_each(|index| out.push(interp.defer_call(function, Value::int(index))));
    });
    Ok(list.into())
}

fn group_by(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_function(args[0])?;
    let mut groups: FxHashMap<Symbol, Vec<Value>> = FxHashMap::default();
    for item in interp.force_list(args[1])?.items() {
        let name = interp.call(args[0], &[*item])?;
        let name = interp.force_plain_string(name)?;
        groups.entry(Symbol::intern(name.bytes())).or_default().push(*item);
    }
    let mut attrs = AttrsBuilder::with_capacity(groups.len());
    for (name, items) in groups {
        attrs.push(name, Value::list(&items));
    }
    Ok(attrs.finish().into())
}

fn partition(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_function(args[0])?;
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for item in interp.force_list(args[1])?.items() {
        // Also an element that the predicate does not look at must have a value.
        interp.force(*item)?;
        let side = if predicate(interp, args[0], *item)? { &mut right } else { &mut wrong };
        side.push(*item);
    }
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.push(Symbol::RIGHT, Value::list(&right));
    attrs.push(Symbol::WRONG, Value::list(&wrong));
    Ok(attrs.finish().into())
}

fn sort(interp: &Interp, args: &[Value]) -> Result<Value> {
    let list = interp.force_list(args[1])?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let function = interp.force_function(args[0])?;
    let mut items = Vec::with_capacity(list.len());
    for item in list.items() {
        items.push(interp.force(*item)?);
    }
    if matches!(function.kind(), Kind::Builtin(builtin) if builtin.name == "lessThan") {
        merge_sort(&mut items, &mut |a, b| interp.less(a, b))?;
    } else {
        merge_sort(&mut items, &mut |a, b| {
            let answer = interp.call(function, &[a, b])?;
            interp.force_bool(answer)
        })?;
    }
    Ok(Value::list(&items))
}

/// Sorts stably. The order may fail, and may be no order at all, which the standard library's sort does not take.
fn merge_sort(items: &mut [Value], less: &mut impl FnMut(Value, Value) -> Result<bool>) -> Result<()> {
    const RUN: usize = 8;
    for run in items.chunks_mut(RUN) {
        for end in 1..run.len() {
            let mut at = end;
            while at > 0 && less(run[at], run[at - 1])? {
                run.swap(at, at - 1);
                at -= 1;
            }
        }
    }
    let mut merged = items.to_vec();
    let mut width = RUN;
    while width < items.len() {
        for (from, to) in items.chunks(2 * width).zip(merged.chunks_mut(2 * width)) {
            let (mut left, mut right) = from.split_at(width.min(from.len()));
            for place in to {
                let take_right = match (left.first(), right.first()) {
                    (Some(a), Some(b)) => less(*b, *a)?,
                    (a, _) => a.is_none(),
                };
                let side = if take_right { &mut right } else { &mut left };
                *place = side[0];
                *side = &side[1..];
            }
        }
        items.copy_from_slice(&merged);
        width *= 2;
    }
    Ok(())
}

fn generic_closure(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    let start = interp.force_list(interp.attr(attrs, Symbol::START_SET)?.value)?;
    if start.is_empty() {
        return Ok(start.into());
    }
    let operator = interp.force_function(interp.attr(attrs, Symbol::OPERATOR)?.value)?;
    let mut queue = std::collections::VecDeque::from(start.items().to_vec());
    let mut keys = Keys::default();
    let mut result = Vec::new();
    while let Some(item) = queue.pop_front() {
        let attrs = interp.force_attrs(item)?;
        let key = interp.force(interp.attr(attrs, Symbol::KEY)?.value)?;
        if !keys.insert(interp, key)? {
            continue;
        }
        result.push(item);
        let next = interp.call(operator, &[item])?;
        queue.extend(interp.force_list(next)?.items());
    }
    Ok(Value::list(&result))
}

/// The keys of a closure so far. Keys of one kind are hashed; others are kept in their order.
#[derive(Default)]
struct Keys {
    ints: FxHashSet<i64>,
    strings: std::collections::HashSet<&'static [u8], FxBuildHasher>,
    /// Sorted.
    others: Vec<Value>,
    first: Option<Value>,
}

impl Keys {
    fn insert_first(&mut self, key: Value) -> Result<bool> {
        match key.kind() {
            Kind::Int(int) => return Ok(self.ints.insert(int)),
            Kind::String(string) => return Ok(self.strings.insert(string.bytes())),
            _ => self.others.push(key),
        }
        Ok(true)
    }

    /// Adds a key. Returns whether it is new.
    fn insert(&mut self, interp: &Interp, key: Value) -> Result<bool> {
        let Some(first) = self.first else {
            self.first = Some(key);
            return self.insert_first(key);
        };
        match (first.kind(), key.kind()) {
            (Kind::Int(_), Kind::Int(int)) if self.others.is_empty() => return Ok(self.ints.insert(int)),
            (Kind::String(_), Kind::String(string)) => return Ok(self.strings.insert(string.bytes())),
            // Keys must be comparable with each other.
            _ => interp.less(first, key)?,
        };
        if !self.ints.is_empty() {
            // Integers and floats together: an integer can be equal to a float.
            self.others.extend(self.ints.drain().map(Value::int));
            self.others.sort_by_key(|key| match key.kind() {
                Kind::Int(int) => int,
                _ => 0,
            });
        }
        let (mut low, mut high) = (0, self.others.len());
        while low < high {
            let middle = (low + high) / 2;
            if interp.less(self.others[middle], key)? {
                low = middle + 1;
            } else if interp.less(key, self.others[middle])? {
                high = middle;
            } else {
                return Ok(false);
            }
        }
        self.others.insert(low, key);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_is_stable_and_takes_any_predicate() {
        let number = |value: Value| value.as_small_int().unwrap_or(0);
        let mut items: Vec<Value> = (0..1000).map(|i| Value::int((i * 7919) % 1000)).collect();
        merge_sort(&mut items, &mut |a, b| Ok(number(a) / 10 < number(b) / 10)).unwrap();
        let sorted: Vec<i64> = items.iter().map(|item| number(*item)).collect();
        let mut expected: Vec<i64> = (0..1000).map(|i| (i * 7919) % 1000).collect();
        expected.sort_by_key(|value| value / 10);
        assert_eq!(sorted, expected);
        merge_sort(&mut items, &mut |_, _| Ok(true)).unwrap();
        assert!(merge_sort(&mut items, &mut |_, _| Err(Error::other("no"))).is_err());
    }
}
