//! What a `flake.nix` says of its inputs.

use std::collections::BTreeMap;

use nix_formats::flake_ref::{Attr, Attrs, FlakeRef};
use serde_json::{Map, Value};

use super::InputPath;

/// A flake's inputs by name.
pub type Inputs = BTreeMap<String, Input>;

/// What a `flake.nix` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Of its inputs.
    pub inputs: Inputs,
    /// Of how its own tree is to be fetched: `submodules` and `lfs`.
    pub own: Attrs,
}

/// What is said of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it comes from; without it, and without `follows`, a registry knows its name.
    pub reference: Option<FlakeRef>,
    /// Whether it is a flake, and not a mere tree.
    pub is_flake: bool,
    /// It is what these inputs lead to.
    pub follows: Option<InputPath>,
    /// What is said of its inputs in place of what it says itself.
    pub overrides: Inputs,
}

impl Default for Input {
    fn default() -> Self {
        Self { reference: None, is_flake: true, follows: None, overrides: Inputs::new() }
    }
}

impl Input {
    /// Reads the value of `inputs` in a `flake.nix`, as JSON (a path in `url` as `path:` and the path relative to the
    /// flake), and the names of the arguments of its `outputs`. The error is a sentence.
    pub fn read_all(inputs: &Value, arguments: &[String]) -> Result<Declared, String> {
        let mut read = read_inputs(inputs)?;
        let own = inputs.get("self").map(read_own).transpose()?.unwrap_or_default();
        for name in arguments.iter().filter(|name| *name != "self") {
            if !read.contains_key(name) {
                read.insert(name.clone(), Self { reference: Some(indirect(name)?), ..Self::default() });
            }
        }
        Ok(Declared { inputs: read, own })
    }

    /// The same, seen from a flake that this one is an input of: what it follows starts at `prefix`.
    pub(super) fn below(&self, prefix: &[String]) -> Self {
        let follows = self.follows.as_ref().map(|follows| prefix.iter().chain(follows).cloned().collect());
        let overrides = self.overrides.iter().map(|(name, input)| (name.clone(), input.below(prefix))).collect();
        Self { follows, overrides, ..self.clone() }
    }
}

/// The reference by a name alone.
pub(super) fn indirect(name: &str) -> Result<FlakeRef, String> {
    let attrs = Attrs::from([("type".to_owned(), "indirect".into()), ("id".to_owned(), name.into())]);
    FlakeRef::from_attrs(attrs).map_err(|error| error.to_string())
}

/// Reads what a flake says of its own tree.
fn read_own(value: &Value) -> Result<Attrs, String> {
    let own: Attrs = serde_json::from_value(value.clone())
        .map_err(|_| "the input 'self': it must be a set of truth values".to_owned())?;
    match own
        .iter()
        .find(|(name, value)| !["submodules", "lfs"].contains(&name.as_str()) || !matches!(value, Attr::Bool(_)))
    {
        Some((name, _)) => {
            Err(format!("the input 'self': the attribute '{name}' is not supported, or is no truth value"))
        }
        None => Ok(own),
    }
}

fn read_inputs(value: &Value) -> Result<Inputs, String> {
    let inputs = match value {
        Value::Null => return Ok(Inputs::new()),
        Value::Object(inputs) => inputs,
        _ => return Err("the attribute 'inputs' must be a set".to_owned()),
    };
    let mut read = Inputs::new();
    for (name, value) in inputs {
        if name == "self" {
            continue;
        }
        let input = value.as_object().ok_or("it must be a set".to_owned()).and_then(read_input);
        read.insert(name.clone(), input.map_err(|reason| format!("the input '{name}': {reason}"))?);
    }
    Ok(read)
}

fn read_input(value: &Map<String, Value>) -> Result<Input, String> {
    let mut input = Input::default();
    let mut attrs = Attrs::new();
    for (name, value) in value {
        match (name.as_str(), value) {
            ("flake", Value::Bool(is_flake)) => input.is_flake = *is_flake,
            ("follows", Value::String(path)) => {
                let parts = path.split('/').filter(|part| !part.is_empty());
                input.follows = Some(parts.map(str::to_owned).collect());
            }
            ("inputs", value) => input.overrides = read_inputs(value)?,
            ("flake" | "follows", _) => return Err(format!("the attribute '{name}' has the wrong type")),
            _ => {
                let attr: Attr = serde_json::from_value(value.clone()).map_err(|_| {
                    format!("the attribute '{name}' must be a text, a truth value or a number that is not negative")
                })?;
                attrs.insert(name.clone(), attr);
            }
        }
    }
    input.reference = read_reference(attrs, input.is_flake)?;
    if input.reference.is_some() && input.follows.is_some() {
        return Err("it has both a reference and 'follows'".to_owned());
    }
    Ok(input)
}

fn read_reference(mut attrs: Attrs, is_flake: bool) -> Result<Option<FlakeRef>, String> {
    if attrs.contains_key("type") {
        return FlakeRef::from_attrs(attrs).map(Some).map_err(|error| error.to_string());
    }
    let url = attrs.remove("url");
    if let Some(name) = attrs.keys().next() {
        return Err(format!("the attribute '{name}' is not known, or goes with 'type' only"));
    }
    match url {
        None => Ok(None),
        Some(Attr::String(url)) => {
            let reference = FlakeRef::parse(&url).map_err(|error| error.to_string())?;
            Ok(Some(if is_flake { reference } else { reference.or_file(&url) }))
        }
        Some(_) => Err("the attribute 'url' must be a text".to_owned()),
    }
}
