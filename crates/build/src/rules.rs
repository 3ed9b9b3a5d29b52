//! What a derivation asks of the machine that builds it, and of its own outputs.

use std::collections::{BTreeMap, BTreeSet};

use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;
use serde_json::Value;

use crate::attributes::{AttributeError, Attributes, string_list, words};

/// The attributes that speak to the builder of the derivation rather than to its program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// The attributes that are passed as files.
    pub pass_as_file: BTreeSet<String>,
    /// The closures that are passed as files, by file name (or, structured, by attribute).
    pub exported_graphs: BTreeMap<String, BTreeSet<StorePath>>,
    /// The variables that a fixed-output builder takes from the caller.
    pub impure_variables: BTreeSet<String>,
    /// Whether it wants to be built without a sandbox.
    pub no_sandbox: bool,
    /// What the machine must have, as `kvm`.
    pub features: BTreeSet<String>,
    /// The outputs whose references are not looked for.
    pub unscanned: BTreeSet<OutputName>,
    /// What the outputs may refer to.
    pub checks: Checks,
}

/// Checks of outputs.
#[derive(Debug, Clone)]
pub(crate) enum Checks {
    /// The same for all.
    Every(Box<OutputCheck>),
    /// For each output, with `__structuredAttrs`.
    Each(BTreeMap<OutputName, OutputCheck>),
}

/// What an output may be. A set that is absent allows everything; an empty one nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutputCheck {
    pub max_size: Option<u64>,
    pub max_closure_size: Option<u64>,
    pub allowed_references: Option<BTreeSet<Target>>,
    pub allowed_requisites: Option<BTreeSet<Target>>,
    pub disallowed_references: BTreeSet<Target>,
    pub disallowed_requisites: BTreeSet<Target>,
    /// Whether an output counts as one of its own requisites.
    pub ignore_self: bool,
}

/// What a check names: an object, or an output of the same derivation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Path(StorePath),
    Output(OutputName),
}

impl Default for Checks {
    fn default() -> Checks {
        Checks::Each(BTreeMap::new())
    }
}

impl Rules {
    pub fn of(attributes: &Attributes) -> Result<Rules, AttributeError> {
        let set = |name| -> Result<BTreeSet<String>, AttributeError> {
            Ok(attributes.strings(name)?.unwrap_or_default().into_iter().collect())
        };
        let structured = attributes.structured.is_some();
        Ok(Rules {
            pass_as_file: if structured { BTreeSet::new() } else { set("passAsFile")? },
            exported_graphs: exported_graphs(attributes)?,
            impure_variables: set("impureEnvVars")?,
            no_sandbox: attributes.boolean("__noChroot")?.unwrap_or(false),
            features: set("requiredSystemFeatures")?,
            unscanned: unscanned(attributes)?,
            checks: if structured { each_check(attributes)? } else { every_check(attributes)? },
        })
    }
}

impl Checks {
    pub fn of(&self, output: &str) -> Option<&OutputCheck> {
        match self {
            Checks::Every(check) => Some(check),
            Checks::Each(checks) => checks.get(output),
        }
    }
}

fn exported_graphs(attributes: &Attributes) -> Result<BTreeMap<String, BTreeSet<StorePath>>, AttributeError> {
    const NAME: &str = "exportReferencesGraph";
    let mut graphs = BTreeMap::new();
    if let Some(structured) = &attributes.structured {
        // As in Nix, anything but a set is ignored here.
        for (key, value) in structured.get(NAME).and_then(Value::as_object).into_iter().flatten() {
            let mut paths = BTreeSet::new();
            flatten(NAME, value, &mut paths)?;
            graphs.insert(key.clone(), paths);
        }
        return Ok(graphs);
    }
    let text = attributes.string(NAME)?.unwrap_or_default();
    let tokens: Vec<&str> = words(&text).collect();
    for pair in tokens.chunks(2) {
        let [name, path] = pair else {
            return Err(AttributeError::new(NAME, format!("has an odd number of words: '{text}'")));
        };
        if !is_graph_file(name) {
            return Err(AttributeError::new(NAME, format!("has the invalid file name '{name}'")));
        }
        graphs.insert((*name).to_owned(), BTreeSet::from([store_path(NAME, path)?]));
    }
    Ok(graphs)
}

fn flatten(name: &str, value: &Value, paths: &mut BTreeSet<StorePath>) -> Result<(), AttributeError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(name, item, paths)),
        Value::String(path) => {
            paths.insert(store_path(name, path)?);
            Ok(())
        }
        _ => Err(AttributeError::new(name, "has a value that is neither a list nor a string")),
    }
}

/// `[A-Za-z_][A-Za-z0-9_.-]*`
fn is_graph_file(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn store_path(name: &str, text: &str) -> Result<StorePath, AttributeError> {
    match StorePath::split_absolute(text.as_bytes()) {
        Ok((path, _)) => Ok(path),
        Err(error) => Err(AttributeError::new(name, format!("has the path '{text}': {error}"))),
    }
}

fn unscanned(attributes: &Attributes) -> Result<BTreeSet<OutputName>, AttributeError> {
    const NAME: &str = "unsafeDiscardReferences";
    let Some(value) = attributes.structured.as_ref().and_then(|structured| structured.get(NAME)) else {
        return Ok(BTreeSet::new());
    };
    let outputs = value.as_object().ok_or_else(|| AttributeError::new(NAME, "must be an attribute set of booleans"))?;
    let mut unscanned = BTreeSet::new();
    for (output, value) in outputs {
        match value {
            Value::Bool(true) => drop(unscanned.insert(output.clone())),
            Value::Bool(false) => {}
            _ => return Err(AttributeError::new(NAME, format!("must have a boolean for output '{output}'"))),
        }
    }
    Ok(unscanned)
}

fn every_check(attributes: &Attributes) -> Result<Checks, AttributeError> {
    let targets = |name| -> Result<Option<BTreeSet<Target>>, AttributeError> {
        attributes.strings(name)?.map(|texts| targets(name, texts)).transpose()
    };
    Ok(Checks::Every(Box::new(OutputCheck {
        allowed_references: targets("allowedReferences")?,
        allowed_requisites: targets("allowedRequisites")?,
        disallowed_references: targets("disallowedReferences")?.unwrap_or_default(),
        disallowed_requisites: targets("disallowedRequisites")?.unwrap_or_default(),
        ignore_self: true,
        ..OutputCheck::default()
    })))
}

fn each_check(attributes: &Attributes) -> Result<Checks, AttributeError> {
    const NAME: &str = "outputChecks";
    let Some(value) = attributes.structured.as_ref().and_then(|structured| structured.get(NAME)) else {
        return Ok(Checks::default());
    };
    let outputs = value.as_object().ok_or_else(|| AttributeError::new(NAME, "must be an attribute set"))?;
    let mut checks = BTreeMap::new();
    for (output, value) in outputs {
        let check = value
            .as_object()
            .ok_or_else(|| AttributeError::new(NAME, format!("must have an attribute set for output '{output}'")))?;
        let targets = |key: &str| -> Result<Option<BTreeSet<Target>>, AttributeError> {
            let name = format!("{NAME}.{output}.{key}");
            check.get(key).map(|value| targets(&name, string_list(&name, value)?)).transpose()
        };
        let size = |key: &str| -> Result<Option<u64>, AttributeError> {
            let wrong = || AttributeError::new(&format!("{NAME}.{output}.{key}"), "must be a number of bytes");
            check.get(key).map(|value| value.as_u64().ok_or_else(wrong)).transpose()
        };
        let check = OutputCheck {
            max_size: size("maxSize")?,
            max_closure_size: size("maxClosureSize")?,
            allowed_references: targets("allowedReferences")?,
            allowed_requisites: targets("allowedRequisites")?,
            disallowed_references: targets("disallowedReferences")?.unwrap_or_default(),
            disallowed_requisites: targets("disallowedRequisites")?.unwrap_or_default(),
            ignore_self: false,
        };
        checks.insert(output.clone(), check);
    }
    Ok(Checks::Each(checks))
}

fn targets(name: &str, texts: Vec<String>) -> Result<BTreeSet<Target>, AttributeError> {
    texts
        .into_iter()
        .map(|text| match text.starts_with(nix_formats::STORE_DIR) {
            true => store_path(name, &text).map(Target::Path),
            false => Ok(Target::Output(text)),
        })
        .collect()
}
