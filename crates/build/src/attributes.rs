//! The attributes of a derivation as its builder sees them: environment variables, or JSON with `__structuredAttrs`.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};
use nix_formats::derivation::{Derivation, STRUCTURED_ATTRS_KEY};
use serde_json::{Map, Value};

/// The attributes of one derivation.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// The environment variables; without the JSON if there is one.
    pub environment: BTreeMap<BString, BString>,
    /// The attributes as JSON, if the derivation has `__structuredAttrs`.
    pub structured: Option<Map<String, Value>>,
}

/// An attribute that is there but of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attribute '{name}' {problem}")]
pub struct AttributeError {
    /// The attribute's name.
    pub name: String,
    /// What is wrong with it: a verb phrase.
    pub problem: String,
}

impl AttributeError {
    pub(crate) fn new(name: &str, problem: impl Into<String>) -> AttributeError {
        AttributeError { name: name.to_owned(), problem: problem.into() }
    }
}

impl Attributes {
    /// The attributes of a derivation, as they are in it.
    ///
    /// # Errors
    /// The structured attributes are not a JSON object.
    pub fn of(derivation: &Derivation) -> Result<Attributes, AttributeError> {
        let mut environment = derivation.env.clone();
        let Some(json) = environment.remove(BStr::new(STRUCTURED_ATTRS_KEY)) else {
            return Ok(Attributes { environment, structured: None });
        };
        match serde_json::from_slice(&json) {
            Ok(Value::Object(structured)) => Ok(Attributes { environment, structured: Some(structured) }),
            Ok(_) => Err(AttributeError::new(STRUCTURED_ATTRS_KEY, "is not a JSON object")),
            Err(error) => Err(AttributeError::new(STRUCTURED_ATTRS_KEY, format!("is not JSON: {error}"))),
        }
    }

    /// Replaces text in every value.
    pub(crate) fn rewrite(&mut self, rewrite: &dyn Fn(&[u8]) -> Vec<u8>) {
        for value in self.environment.values_mut() {
            *value = rewrite(value).into();
        }
        if let Some(structured) = &mut self.structured {
            structured.values_mut().for_each(|value| rewrite_json(value, rewrite));
        }
    }

    /// A string attribute.
    ///
    /// # Errors
    /// It is there, but not a string, or not text.
    pub fn string(&self, name: &str) -> Result<Option<String>, AttributeError> {
        if let Some(structured) = &self.structured {
            return match structured.get(name) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(other) => Err(AttributeError::new(name, format!("must be a string, but is {}", kind(other)))),
            };
        }
        match self.environment.get(BStr::new(name)) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(AttributeError::new(name, "is not UTF-8 text")),
            },
        }
    }

    /// A string attribute that must be there.
    ///
    /// # Errors
    /// It is missing, or not a string.
    pub fn required(&self, name: &str) -> Result<String, AttributeError> {
        self.string(name)?.ok_or_else(|| AttributeError::new(name, "is missing"))
    }

    /// A boolean attribute; as an environment variable, "1" is true.
    ///
    /// # Errors
    /// It is there, but not a boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, AttributeError> {
        if let Some(structured) = &self.structured {
            return match structured.get(name) {
                None => Ok(None),
                Some(Value::Bool(value)) => Ok(Some(*value)),
                Some(other) => Err(AttributeError::new(name, format!("must be a boolean, but is {}", kind(other)))),
            };
        }
        Ok(self.string(name)?.map(|value| value == "1"))
    }

    /// A list of strings; as an environment variable, its words.
    ///
    /// # Errors
    /// It is there, but not a list of strings.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>, AttributeError> {
        let Some(structured) = &self.structured else {
            return Ok(self.string(name)?.map(|text| words(&text).map(str::to_owned).collect()));
        };
        structured.get(name).map(|value| string_list(name, value)).transpose()
    }
}

/// The strings of a JSON list; `name` is for the error.
pub(crate) fn string_list(name: &str, value: &Value) -> Result<Vec<String>, AttributeError> {
    let list = value
        .as_array()
        .ok_or_else(|| AttributeError::new(name, format!("must be a list of strings, but is {}", kind(value))))?;
    list.iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(AttributeError::new(name, format!("must be a list of strings, but has {}", kind(other)))),
        })
        .collect()
}

/// The words of a list that became an environment variable.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an attribute set",
    }
}

fn rewrite_json(value: &mut Value, rewrite: &dyn Fn(&[u8]) -> Vec<u8>) {
    match value {
        Value::String(text) => *text = String::from_utf8_lossy(&rewrite(text.as_bytes())).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite_json(item, rewrite)),
        Value::Object(members) => members.values_mut().for_each(|member| rewrite_json(member, rewrite)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
