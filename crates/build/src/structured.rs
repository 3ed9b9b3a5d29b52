//! `__structuredAttrs`: the files `.attrs.json` and `.attrs.sh`, as `libstore/parsed-derivations.cc` in C++ Nix makes
//! them.

use std::fmt::Write;

use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;
use serde_json::{Map, Value};

/// The two files.
#[derive(Debug)]
pub(crate) struct Documents {
    pub json: String,
    pub shell: String,
}

/// Makes the files from the attributes (placeholders replaced), the paths of the outputs, and the exported graphs.
pub(crate) fn documents<'a>(
    attributes: &Map<String, Value>,
    outputs: impl Iterator<Item = (&'a OutputName, &'a StorePath)>,
    graphs: Map<String, Value>,
) -> Documents {
    let mut members = attributes.clone();
    let outputs = outputs.map(|(name, path)| (name.clone(), Value::String(path.to_absolute()))).collect();
    members.insert("outputs".to_owned(), Value::Object(outputs));
    members.extend(graphs);
    let mut json = Value::Object(members);
    // Nix's JSON is sorted, and what is generated from it is read by programs in that order.
    json.sort_all_objects();
    Documents { shell: json.as_object().map(shell).unwrap_or_default(), json: json.to_string() }
}

/// The attributes that bash can have as variables: `declare` of strings, lists and sets of strings.
fn shell(attributes: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in attributes.iter().filter(|(name, _)| is_variable(name)) {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Array(items) => match items.iter().map(simple).collect::<Option<Vec<_>>>() {
                Some(items) => {
                    let items: String = items.iter().map(|item| format!("{item} ")).collect();
                    writeln!(text, "declare -a {name}=({items})")
                }
                None => Ok(()),
            },
            Value::Object(members) => {
                let entries = members.iter().map(|(key, value)| Some(format!("[{}]={} ", quote(key), simple(value)?)));
                match entries.collect::<Option<String>>() {
                    Some(entries) => writeln!(text, "declare -A {name}=({entries})"),
                    None => Ok(()),
                }
            }
            value => match simple(value) {
                Some(value) => writeln!(text, "declare {name}={value}"),
                None => Ok(()),
            },
        };
    }
    text
}

/// `[A-Za-z_][A-Za-z0-9_]*`
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A value that is one word of shell.
fn simple(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(quote(text)),
        Value::Null => Some("''".to_owned()),
        Value::Bool(true) => Some("1".to_owned()),
        Value::Bool(false) => Some(String::new()),
        Value::Number(number) => {
            // As Nix has it: whole numbers only, and in 32 bits.
            let whole = number.as_f64().is_some_and(|float| (float as f32).ceil() == float as f32);
            let integer = number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i64);
            whole.then(|| (integer as i32).to_string())
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shell_declares_what_it_can() {
        let attributes = json!({
            "text": "it's", "number": 7, "half": 1.5, "yes": true, "no": false, "none": null,
            "list": ["a b", 2, true], "nested": [["a"]], "set": { "k": "v", "n": 1 }, "no-variable": "x",
        });
        let documents = documents(attributes.as_object().unwrap(), std::iter::empty(), Map::new());
        let expected = "declare -a list=('a b' 2 1 )\ndeclare no=\ndeclare none=''\ndeclare number=7\n\
                        declare -A outputs=()\ndeclare -A set=(['k']='v' ['n']=1 )\ndeclare text='it'\\''s'\n\
                        declare yes=1\n";
        assert_eq!(documents.shell, expected);
        assert!(documents.json.starts_with(r#"{"half":1.5,"list":["a b",2,true],"nested""#), "{}", documents.json);
    }
}
