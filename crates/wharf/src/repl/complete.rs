//! Completion: names in scope, attributes of what is written before a dot, files, commands.

use std::path::Path;

use eval::{Interp, Origin, Symbol, Value};

/// No more than this is offered.
const MAX: usize = 1000;

const COMMANDS: &[&str] = &[
    ":add",
    ":b",
    ":bl",
    ":doc",
    ":edit",
    ":help",
    ":last-loaded",
    ":load",
    ":load-flake",
    ":log",
    ":print",
    ":quit",
    ":reload",
    ":trace-enable",
    ":type",
];

/// What may stand in place of the last word of a line, and where that word begins.
pub(super) fn complete(interp: &Interp, scope: &[(Symbol, Value)], here: &Path, line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(|c: char| " \n\r\t(){}[];=\"".contains(c)).map_or(0, |at| at + 1);
    let word = &line[start..];
    let mut found = match (word.rfind('/'), word.rfind('.')) {
        _ if start == 0 && word.starts_with(':') => {
            COMMANDS.iter().filter(|command| command.starts_with(word)).map(|command| (*command).to_owned()).collect()
        }
        (Some(slash), _) => files(here, &word[..=slash], &word[slash + 1..]),
        (None, Some(dot)) => attributes(interp, scope, here, &word[..dot], &word[dot + 1..]),
        (None, None) => names(scope, word),
    };
    found.sort();
    found.dedup();
    found.truncate(MAX);
    (start, found)
}

fn names(scope: &[(Symbol, Value)], begin: &str) -> Vec<String> {
    const KEYWORDS: [&str; 10] = ["assert", "builtins", "else", "if", "in", "inherit", "let", "rec", "then", "with"];
    let global = eval::builtins::TABLES.iter().copied().flatten().filter(|builtin| builtin.global);
    let global = global.map(|builtin| builtin.name.to_owned());
    let constants = ["true", "false", "null", "derivation"].into_iter().chain(KEYWORDS).map(str::to_owned);
    scope
        .iter()
        .map(|(name, _)| name.text().into_owned())
        .chain(global)
        .chain(constants)
        .filter(|name| name.starts_with(begin))
        .collect()
}

/// The attributes of an expression. Whatever goes wrong while it is evaluated is nobody's concern here.
fn attributes(interp: &Interp, scope: &[(Symbol, Value)], here: &Path, expression: &str, begin: &str) -> Vec<String> {
    let origin = Origin::Text("«completion»".to_owned());
    let value = interp.eval_source(origin, expression.as_bytes().to_vec(), here, scope);
    let Ok(attrs) = value.and_then(|value| interp.force_attrs(value)) else { return Vec::new() };
    attrs
        .by_name()
        .filter(|attr| attr.name.text().starts_with(begin))
        .map(|attr| {
            let mut text = format!("{expression}.").into_bytes();
            syntax::print_name(attr.name.bytes(), &mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
        .collect()
}

fn files(here: &Path, directory: &str, begin: &str) -> Vec<String> {
    let Ok(entries) = here.join(directory).read_dir() else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_wanted = name.starts_with(begin) && (begin.starts_with('.') || !name.starts_with('.'));
            let slash = if entry.path().is_dir() { "/" } else { "" };
            is_wanted.then(|| format!("{directory}{name}{slash}"))
        })
        .collect()
}
