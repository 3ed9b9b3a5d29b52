//! What strings refer to.

use std::collections::BTreeMap;

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{AttrsBuilder, Context, Kind, Str, Value};
use crate::interp::{Coercion, ContextElement, parse_store_path};
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("hasContext", 1, 0b1, |interp, args| {
        Ok(Value::bool(interp.force_string(args[0])?.context().is_some()))
    }),
    Builtin::new("getContext", 1, 0b1, get_context),
    Builtin::new("appendContext", 2, 0b11, append_context),
    Builtin::new("unsafeDiscardStringContext", 1, 0b1, |interp, args| {
        let string = interp.coerce_to_string(args[0], Coercion::STRING)?;
        Ok(match string.context() {
            None => string.into(),
            Some(_) => Value::string(string.bytes()),
        })
    }),
    Builtin::new("unsafeDiscardOutputDependency", 1, 0b1, discard_output_dependency),
    Builtin::new("addDrvOutputDependencies", 1, 0b1, add_output_dependencies),
];

/// What is known of one path of a context.
#[derive(Default)]
struct Entry {
    path: bool,
    all_outputs: bool,
    outputs: Vec<String>,
}

fn elements(context: Option<&'static Context>) -> impl Iterator<Item = ContextElement> {
    let symbols = context.map_or(&[] as &[Symbol], Context::elements);
    symbols.iter().filter_map(|symbol| ContextElement::parse(symbol.bytes()))
}

fn get_context(interp: &Interp, args: &[Value]) -> Result<Value> {
    let string = interp.force_string(args[0])?;
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for element in elements(string.context()) {
        let entry = entries.entry(element.path().to_owned()).or_default();
        match element {
            ContextElement::Path(_) => entry.path = true,
            ContextElement::Deep(_) => entry.all_outputs = true,
            ContextElement::Output { output, .. } => entry.outputs.push(output),
        }
    }
    let mut attrs = AttrsBuilder::with_capacity(entries.len());
    for (path, mut entry) in entries {
        let mut info = AttrsBuilder::default();
        if entry.path {
            info.push(Symbol::PATH, Value::TRUE);
        }
        if entry.all_outputs {
            info.push(Symbol::ALL_OUTPUTS, Value::TRUE);
        }
        if !entry.outputs.is_empty() {
            entry.outputs.sort();
            let outputs: Vec<Value> = entry.outputs.iter().map(Value::string).collect();
            info.push(Symbol::OUTPUTS, Value::list(&outputs));
        }
        attrs.push(Symbol::intern(path), info.finish().into());
    }
    Ok(attrs.finish().into())
}

fn append_context(interp: &Interp, args: &[Value]) -> Result<Value> {
    let string = interp.force_string(args[0])?;
    let mut symbols = string.context().map_or(Vec::new(), |context| context.elements().to_vec());
    let mut add = |element: ContextElement| symbols.push(Symbol::intern(element.encode()));
    for attr in interp.force_attrs(args[1])?.iter() {
        let path = attr.name.text().into_owned();
        let is_derivation = parse_store_path(&path)
            .map_err(|error| Error::other(format!("context key '{path}' is not a store path: {}", error.message)))?
            .is_derivation();
        let info = interp.force_attrs(attr.value)?;
        if let Some(given) = info.get(Symbol::PATH)
            && interp.force_bool(given)?
        {
            add(ContextElement::Path(path.clone()));
        }
        if let Some(given) = info.get(Symbol::ALL_OUTPUTS)
            && interp.force_bool(given)?
        {
            check_derivation(is_derivation, &path, "all outputs")?;
            add(ContextElement::Deep(path.clone()));
        }
        if let Some(outputs) = info.get(Symbol::OUTPUTS) {
            let outputs = interp.force_list(outputs)?;
            if !outputs.is_empty() {
                check_derivation(is_derivation, &path, "derivation outputs")?;
            }
            for output in outputs.items() {
                let output = interp.force_text(*output)?.to_owned();
                add(ContextElement::Output { derivation: path.clone(), output });
            }
        }
    }
    Ok(Str::new(string.bytes(), Context::from_elements(symbols)).into())
}

fn check_derivation(is_derivation: bool, path: &str, what: &str) -> Result<()> {
    if is_derivation {
        return Ok(());
    }
    Err(Error::other(format!("tried to add a context of {what} for '{path}', which is not a derivation")))
}

/// Turns dependencies on a derivation and all its outputs into dependencies on the `.drv` file alone.
fn discard_output_dependency(interp: &Interp, args: &[Value]) -> Result<Value> {
    let string = interp.coerce_to_string(args[0], Coercion::STRING)?;
    let symbols = elements(string.context()).map(|element| match element {
        ContextElement::Deep(path) => Symbol::intern(path),
        other => Symbol::intern(other.encode()),
    });
    Ok(Str::new(string.bytes(), Context::from_elements(symbols.collect())).into())
}

/// The reverse, for a string that refers to exactly one derivation.
fn add_output_dependencies(interp: &Interp, args: &[Value]) -> Result<Value> {
    let string = interp.coerce_to_string(args[0], Coercion::STRING)?;
    let elements: Vec<ContextElement> = elements(string.context()).collect();
    let [element] = elements.as_slice() else {
        return Err(Error::other(format!(
            "the context of '{}' must have exactly one element, but it has {}",
            string.text(),
            elements.len()
        )));
    };
    let path = match element {
        ContextElement::Path(path) | ContextElement::Deep(path) if path.ends_with(".drv") => path,
        ContextElement::Path(path) | ContextElement::Deep(path) => {
            return Err(Error::other(format!("path '{path}' is not a derivation")));
        }
        ContextElement::Output { output, .. } => {
            return Err(Error::other(format!(
                "'addDrvOutputDependencies' can only act on derivations, not on the output '{output}' of one"
            )));
        }
    };
    let context = Context::single(ContextElement::Deep(path.clone()).encode().as_bytes());
    match args[0].kind() {
        Kind::String(_) | Kind::Attrs(_) => Ok(Str::new(string.bytes(), Some(context)).into()),
        _ => Err(Error::type_error(format!("expected a string, but found {}", args[0].describe()))),
    }
}
