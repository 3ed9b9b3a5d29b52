//! What functions do, and where they are written.

use std::path::PathBuf;

use eval::{Interp, Kind, Origin, Symbol, Value};

use super::builtin_texts;

/// The documentation of a function: of a builtin, or the comment `/** … */` before one of the language.
pub(super) fn of(value: Value) -> Option<String> {
    match value.kind() {
        Kind::Builtin(builtin) => {
            let (_, arguments, text) = builtin_texts::find(builtin.name)?;
            Some(format!("Synopsis: builtins.{} {arguments}\n\n{text}", builtin.name))
        }
        Kind::Lambda(closure) => {
            let (source, span) = closure.lambda.positions.first()?.resolve()?;
            let start = source.lines().position(span.start);
            let name = closure.lambda.name.map_or_else(|| "Function".to_owned(), |name| format!("Function '{name}'"));
            let heading = format!("{name}\n  … defined at {}:{}:{}", source.display_name(), start.line, start.column);
            let comment = std::str::from_utf8(&source.text[..span.start as usize]).ok().and_then(comment_before);
            Some(match comment {
                Some(comment) => format!("{heading}\n\n{comment}"),
                None => heading,
            })
        }
        Kind::Partial(partial) => of(partial.function),
        Kind::Attrs(attrs) => of(attrs.get(Symbol::FUNCTOR)?.resolved()?),
        _ => None,
    }
}

/// The comment `/** … */` that ends right before what follows `text`, or before the `name =` that stands between.
fn comment_before(text: &str) -> Option<String> {
    let text = text.trim_end();
    let text = match text.strip_suffix('=') {
        Some(rest) => rest.trim_end().trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_'-.\"".contains(c)),
        None => text.trim_end_matches('('),
    };
    let inner = text.trim_end().strip_suffix("*/")?;
    let begin = inner.rfind("/*")?;
    let comment = inner[begin..].strip_prefix("/**")?;
    Some(unindent(comment))
}

/// Takes off the indentation that all lines but the first have.
fn unindent(text: &str) -> String {
    let width = |line: &str| line.len() - line.trim_start().len();
    let indent = text.lines().skip(1).filter(|line| !line.trim().is_empty()).map(width).min().unwrap_or(0);
    let mut lines: Vec<&str> = text.lines().take(1).map(str::trim).collect();
    lines.extend(text.lines().skip(1).map(|line| line.get(indent..).unwrap_or("").trim_end()));
    lines.join("\n").trim().to_owned()
}

/// The file and line at which a value is written: of a path itself, a function, or a package by its `meta.position`.
pub(super) fn place(interp: &Interp, value: Value) -> eval::Result<Option<(PathBuf, u32)>> {
    match value.kind() {
        Kind::Path(path) => Ok(Some((PathBuf::from(&*path.text()), 1))),
        Kind::Lambda(closure) => Ok(closure.lambda.positions.first().and_then(|pos| {
            let (source, start) = pos.start()?;
            match &source.origin {
                Origin::File(file) => Some((file.clone(), start.line)),
                Origin::Text(_) => None,
            }
        })),
        Kind::Attrs(attrs) => {
            let Some(meta) = attrs.get(Symbol::intern("meta")) else { return Ok(None) };
            let Some(position) = interp.force_attrs(meta)?.get(Symbol::intern("position")) else { return Ok(None) };
            let position = interp.force_string(position)?.text();
            Ok(position.rsplit_once(':').and_then(|(file, line)| Some((PathBuf::from(file), line.parse().ok()?))))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_belongs_to_the_binding_after_it() {
        let text = "{\n  /**\n    Adds one.\n\n      indented\n  */\n  inc = ";
        assert_eq!(comment_before(text).as_deref(), Some("Adds one.\n\n  indented"));
        assert_eq!(comment_before("/** one */ ").as_deref(), Some("one"));
        assert_eq!(comment_before("/* plain */ f = "), None);
        assert_eq!(comment_before("/** far */ a = 1; f = "), None);
    }
}
