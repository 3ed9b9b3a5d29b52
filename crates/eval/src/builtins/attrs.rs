//! Attribute sets.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Builtin;
use crate::Interp;
use crate::error::Result;
use crate::heap::{self, Attr, Attrs, AttrsBuilder, Deferred, List, Thunk, Value};
use crate::interp::pos_value;
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("attrNames", 1, 0b1, attr_names),
    Builtin::new("attrValues", 1, 0b1, attr_values),
    Builtin::new("catAttrs", 2, 0b11, cat_attrs),
    Builtin::new("getAttr", 2, 0b11, get_attr),
    Builtin::new("hasAttr", 2, 0b11, has_attr),
    Builtin::new("intersectAttrs", 2, 0b11, intersect_attrs),
    Builtin::new("listToAttrs", 1, 0b1, list_to_attrs),
    Builtin::new("mapAttrs", 2, 0b10, map_attrs),
    Builtin::global("removeAttrs", 2, 0b11, remove_attrs),
    Builtin::new("unsafeGetAttrPos", 2, 0b11, attr_pos),
    Builtin::new("zipAttrsWith", 2, 0b11, zip_attrs_with),
];

fn attr_names(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (shape, _) = interp.force_attrs(args[0])?.parts();
    let names = List::build(shape.len(), |out| {
        shape.by_name().iter().for_each(|slot| out.push(shape.keys()[*slot as usize].string().into()));
    });
    Ok(names.into())
}

fn attr_values(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    Ok(List::build(attrs.len(), |out| attrs.by_name().for_each(|attr| out.push(attr.value))).into())
}

fn name(interp: &Interp, value: Value) -> Result<Symbol> {
    Ok(Symbol::intern(interp.force_plain_string(value)?.bytes()))
}

fn cat_attrs(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = name(interp, args[0])?;
    let mut found = Vec::new();
    for item in interp.force_list(args[1])?.items() {
        found.extend(interp.force_attrs(*item)?.get(name));
    }
    Ok(Value::list(&found))
}

fn get_attr(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = name(interp, args[0])?;
    let attr = interp.attr(interp.force_attrs(args[1])?, name)?;
    interp.force(attr.value)
}

fn has_attr(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = name(interp, args[0])?;
    Ok(Value::bool(interp.force_attrs(args[1])?.get(name).is_some()))
}

/// The attributes of the second set whose names the first has.
fn intersect_attrs(interp: &Interp, args: &[Value]) -> Result<Value> {
    let (names, attrs) = (interp.force_attrs(args[0])?, interp.force_attrs(args[1])?);
    let (names_shape, _) = names.parts();
    let mut common = AttrsBuilder::with_capacity(names_shape.len().min(64));
    // A lookup halves the larger set, so walk the smaller one.
    if names_shape.len() <= attrs.len() {
        names_shape.keys().iter().filter_map(|name| attrs.attr(*name)).for_each(|attr| common.push_attr(attr));
    } else {
        attrs.iter().filter(|attr| names_shape.slot(attr.name).is_some()).for_each(|attr| common.push_attr(attr));
    }
    Ok(common.finish().into())
}

fn list_to_attrs(interp: &Interp, args: &[Value]) -> Result<Value> {
    let list = interp.force_list(args[0])?;
    let mut attrs = AttrsBuilder::with_capacity(list.len());
    let mut lacking = Ok(());
    for item in list.items() {
        let item = interp.force_attrs(*item)?;
        let name = name(interp, interp.attr(item, Symbol::NAME)?.value)?;
        // Of several with a name the first counts, so that the others need no value.
        match item.attr(Symbol::VALUE) {
            Some(value) => attrs.push_attr(Attr { name, ..value }),
            None if lacking.is_err() || attrs.contains(name) => {}
            None => lacking = interp.attr(item, Symbol::VALUE).map(drop),
        }
    }
    // All names are evaluated before the first value is asked for.
    lacking?;
    Ok(attrs.finish().into())
}

fn map_attrs(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[1])?;
    let (shape, values) = attrs.parts();
    let mapped = Attrs::build(shape.unplaced(), |slot| {
        let function_and_name = heap::new([args[0], shape.keys()[slot].string().into()]);
        interp.defer_call2(function_and_name, values[slot])
    });
    Ok(mapped.into())
}

fn remove_attrs(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    let mut names = SmallVec::<[Symbol; 16]>::new();
    for item in interp.force_list(args[1])?.items() {
        names.push(name(interp, *item)?);
    }
    names.sort_unstable();
    Ok(attrs.without(|name| names.binary_search(&name).is_ok()).into())
}

fn attr_pos(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = name(interp, args[0])?;
    Ok(interp.force_attrs(args[1])?.attr(name).map_or(Value::NULL, |attr| pos_value(attr.pos)))
}

fn zip_attrs_with(interp: &Interp, args: &[Value]) -> Result<Value> {
    interp.force_function(args[0])?;
    let mut groups: FxHashMap<Symbol, Vec<Value>> = FxHashMap::default();
    for item in interp.force_list(args[1])?.items() {
        for attr in interp.force_attrs(*item)?.iter() {
            groups.entry(attr.name).or_default().push(attr.value);
        }
    }
    let mut attrs = AttrsBuilder::with_capacity(groups.len());
    for (name, values) in groups {
        let function_and_name = heap::new([args[0], name.string().into()]);
        attrs.push(name, Thunk::new(Deferred::Apply2(function_and_name, Value::list(&values))).into());
    }
    Ok(attrs.finish().into())
}
