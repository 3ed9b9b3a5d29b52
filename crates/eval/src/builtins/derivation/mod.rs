//! `derivation` and what it is made of.

mod attributes;
mod inputs;

use std::path::Path;
use std::sync::OnceLock;

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::{Derivation, Finished, Output};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::placeholder;
use nix_formats::store_path::StorePath;

use super::Builtin;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{self, AttrsBuilder, Context, Deferred, Kind, Str, Thunk, Value};
use crate::interp::ContextElement;
use crate::position::Origin;
use crate::symbol::Symbol;
use attributes::Attributes;

pub(crate) use inputs::Derivations;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::global("derivationStrict", 1, 0b1, strict),
    Builtin::global("placeholder", 1, 0b1, |interp, args| {
        Ok(Value::string(placeholder::own_output(interp.force_text(args[0])?)))
    }),
];

/// `derivation`, as a thunk: it is written in the language itself.
pub(super) fn wrapper() -> Value {
    static LOAD: Builtin = Builtin::new("derivation", 1, 0, |interp, _| {
        let origin = Origin::Text("«derivation»".to_owned());
        interp.eval_source(origin, include_bytes!("derivation.nix").to_vec(), Path::new("/"), &[])
    });
    static FUNCTION: OnceLock<Value> = OnceLock::new();
    let function = FUNCTION.get_or_init(|| Value::builtin(&LOAD));
    Thunk::new(Deferred::Apply(heap::new(*function), Value::NULL)).into()
}

/// Makes a derivation; the result has `drvPath` and an attribute for each output.
fn strict(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    let name_attr = interp.attr(attrs, Symbol::NAME)?;
    let name = interp
        .force_text(name_attr.value)
        .map_err(|error| error.within("while evaluating the attribute 'name' of a derivation", name_attr.pos))?;
    make(interp, name, Attributes::collect(interp, name, attrs))
        .map_err(|error| error.within(format!("while evaluating derivation '{name}'"), name_attr.pos))
}

fn make(interp: &Interp, name: &str, attributes: Result<Attributes>) -> Result<Value> {
    let mut attributes = attributes?;
    attributes.check(name)?;
    let mut derivation = Derivation {
        name: name.to_owned(),
        outputs: Default::default(),
        input_derivations: Default::default(),
        input_sources: Default::default(),
        system: std::mem::take(&mut attributes.system),
        builder: std::mem::take(&mut attributes.builder),
        args: std::mem::take(&mut attributes.args),
        env: std::mem::take(&mut attributes.env).into_iter().collect(),
    };
    interp.add_inputs(&mut derivation, &attributes.text.context)?;
    set_outputs(&mut derivation, &attributes)?;
    let finished = derivation.finish(|path| interp.hash_modulo(path));
    let Finished { aterm, modulo, paths } = finished.map_err(|error| Error::other(error.to_string()))?;
    let path = derivation.store_path(&aterm).map_err(|error| Error::other(error.to_string()))?;
    interp.host().add_derivation(&path, aterm)?;
    interp.remember_derivation(&path, &derivation, modulo);
    outputs_value(&path, &derivation, &paths)
}

/// Declares the outputs: fixed, floating, or to be computed from the inputs.
fn set_outputs(derivation: &mut Derivation, attributes: &Attributes) -> Result<()> {
    if let Some(text) = &attributes.output_hash {
        let hash = parse_hash(text, attributes.output_hash_algo)?;
        let address = ContentAddress { method: attributes.method.unwrap_or(Method::Flat), hash };
        derivation.outputs.insert("out".to_owned(), Output::Fixed(address));
        return Ok(());
    }
    for name in &attributes.outputs {
        let method = attributes.method.unwrap_or(Method::Nar);
        let algo = attributes.output_hash_algo.unwrap_or(HashAlgo::Sha256);
        let output = match (attributes.content_addressed, attributes.impure) {
            (true, _) => Output::Floating { method, algo },
            (_, true) => Output::Impure { method, algo },
            _ => Output::Deferred,
        };
        let stand_in = if output == Output::Deferred { String::new() } else { placeholder::own_output(name) };
        derivation.env.insert(name.as_str().into(), stand_in.into());
        derivation.outputs.insert(name.clone(), output);
    }
    Ok(())
}

/// An `outputHash`. An empty one is all zeros: whoever builds it learns the hash from the error.
fn parse_hash(text: &str, algo: Option<HashAlgo>) -> Result<Hash> {
    if text.is_empty() {
        return match algo {
            Some(algo) => Ok(Hash::zero(algo)),
            None => Err(Error::other("an empty 'outputHash' requires an explicit 'outputHashAlgo'")),
        };
    }
    Hash::parse(text, algo).map_err(|error| Error::other(format!("'outputHash': {error}")))
}

fn outputs_value(path: &StorePath, derivation: &Derivation, outputs: &[Option<StorePath>]) -> Result<Value> {
    let drv_path = path.to_absolute();
    let mut attrs = AttrsBuilder::with_capacity(derivation.outputs.len() + 1);
    attrs.push(Symbol::DRV_PATH, with_context(&drv_path, &ContextElement::Deep(drv_path.clone())));
    for (name, output) in derivation.outputs.keys().zip(outputs) {
        let text = match output {
            Some(output) => output.to_absolute(),
            None => placeholder::upstream_output(path, name).unwrap_or_default(),
        };
        let element = ContextElement::Output { derivation: drv_path.clone(), output: name.clone() };
        attrs.push(Symbol::intern(name), with_context(&text, &element));
    }
    Ok(attrs.finish().into())
}

fn with_context(text: &str, element: &ContextElement) -> Value {
    Str::new(text.as_bytes(), Some(Context::single(element.encode().as_bytes()))).into()
}

/// Whether a value is null.
fn is_null(interp: &Interp, value: Value) -> Result<bool> {
    Ok(matches!(interp.force(value)?.kind(), Kind::Null))
}
