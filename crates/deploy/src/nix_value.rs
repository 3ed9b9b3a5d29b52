//! Nix source from values.

/// A value that can be written as Nix source.
pub(crate) enum NixValue {
    Text(String),
    Bool(bool),
    List(Vec<NixValue>),
    /// Attributes by path: each name becomes one part, quoted where needed.
    Set(Vec<(Vec<String>, NixValue)>),
    /// An expression.
    Raw(String),
}

impl NixValue {
    /// A list of texts.
    pub(crate) fn texts(list: impl IntoIterator<Item = String>) -> NixValue {
        NixValue::List(list.into_iter().map(NixValue::Text).collect())
    }

    /// The source, with lines after the first indented by `depth` levels.
    pub(crate) fn print(&self, depth: usize) -> String {
        let inner = "  ".repeat(depth + 1);
        let end = "  ".repeat(depth);
        match self {
            NixValue::Text(text) => string(text),
            NixValue::Bool(value) => value.to_string(),
            NixValue::Raw(source) => source.clone(),
            NixValue::List(list) if list.is_empty() => "[ ]".to_owned(),
            NixValue::List(list) => {
                let lines: String = list.iter().map(|value| format!("{inner}{}\n", value.print(depth + 1))).collect();
                format!("[\n{lines}{end}]")
            }
            NixValue::Set(entries) if entries.is_empty() => "{ }".to_owned(),
            NixValue::Set(entries) => {
                let line = |(path, value): &(Vec<String>, NixValue)| {
                    let path = path.iter().map(|part| name(part)).collect::<Vec<_>>().join(".");
                    format!("{inner}{path} = {};\n", value.print(depth + 1))
                };
                format!("{{\n{}{end}}}", entries.iter().map(line).collect::<String>())
            }
        }
    }
}

/// A string literal.
pub(crate) fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '$' if chars.peek() == Some(&'{') => literal.push_str("\\$"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// An attribute's name.
fn name(text: &str) -> String {
    const KEYWORDS: &[&str] = &["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-'".contains(c))
        && !KEYWORDS.contains(&text);
    if plain { text.to_owned() } else { string(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_nix_source() {
        let value = NixValue::Set(vec![
            (vec!["a".into(), "b.c".into()], NixValue::Text("x ${y} \"q\" $z\n".into())),
            (vec!["if".into()], NixValue::texts(["1".to_owned()])),
            (vec!["e".into()], NixValue::List(vec![])),
        ]);
        assert_eq!(
            value.print(0),
            "{\n  a.\"b.c\" = \"x \\${y} \\\"q\\\" $z\\n\";\n  \"if\" = [\n    \"1\"\n  ];\n  e = [ ];\n}"
        );
    }
}
