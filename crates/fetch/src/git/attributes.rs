//! What `.gitattributes` files say of paths, as in gitattributes(5).
//!
//! Of several lines the last one of the nearest directory counts. Of the user's own attributes nothing is known: they must
//! not change what a tree is.

use std::collections::BTreeMap;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::glob::pattern::Case;
use gix::glob::{Pattern, wildmatch};

/// What is said of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Set,
    Unset,
    Value(BString),
    /// As if nothing were said.
    Unspecified,
}

type Assignment = (BString, State);

struct Rule {
    pattern: Pattern,
    assignments: Vec<Assignment>,
}

/// The rules of a tree.
pub(super) struct Attributes {
    /// By the directory that the file is in; empty for the root.
    rules: BTreeMap<BString, Vec<Rule>>,
    /// What names of groups of attributes stand for.
    macros: BTreeMap<BString, Vec<Assignment>>,
}

impl Default for Attributes {
    fn default() -> Self {
        let binary = ["diff", "merge", "text"].map(|name| (name.into(), State::Unset));
        Self { rules: BTreeMap::new(), macros: BTreeMap::from([("binary".into(), binary.to_vec())]) }
    }
}

impl Attributes {
    /// Adds the file of a directory; that of a directory above it must have been added before.
    pub fn add(&mut self, directory: &BStr, text: &[u8]) {
        let mut rules = Vec::new();
        for line in text.lines().map(ByteSlice::trim).filter(|line| !line.is_empty() && line[0] != b'#') {
            if let Some(definition) = line.strip_prefix(b"[attr]") {
                // They count only where the whole tree sees them.
                if directory.is_empty() {
                    let mut words = definition.fields();
                    let Some(name) = words.next() else { continue };
                    let meaning = self.assignments(words);
                    self.macros.insert(name.into(), meaning);
                }
            } else if let Some((pattern, rest)) = split_pattern(line.as_bstr())
                && let Some(pattern) = Pattern::from_bytes_without_negation(&pattern)
            {
                let assignments = self.assignments(rest.fields());
                rules.push(Rule { pattern, assignments });
            }
        }
        if !rules.is_empty() {
            self.rules.insert(directory.to_owned(), rules);
        }
    }

    /// The words behind a pattern, a macro followed by what it stands for.
    fn assignments<'a>(&self, words: impl Iterator<Item = &'a [u8]>) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        for word in words {
            let (name, state) = match word {
                [b'-', name @ ..] => (name, State::Unset),
                [b'!', name @ ..] => (name, State::Unspecified),
                _ => match word.split_once_str("=") {
                    Some((name, value)) => (name, State::Value(value.into())),
                    None => (word, State::Set),
                },
            };
            if state == State::Set
                && let Some(meaning) = self.macros.get(name.as_bstr())
            {
                assignments.extend(meaning.iter().cloned());
            }
            assignments.push((name.into(), state));
        }
        assignments
    }

    /// What is said of an attribute of a path.
    pub fn get(&self, path: &BStr, is_directory: bool, name: &str) -> State {
        let mut directory = path.rfind_byte(b'/').map_or(BStr::new(""), |at| path[..at].as_bstr());
        loop {
            let below = if directory.is_empty() { path } else { path[directory.len() + 1..].as_bstr() };
            let rules = self.rules.get(directory).map_or(&[][..], Vec::as_slice);
            let found = rules.iter().rev().filter(|rule| rule.fits(below, is_directory)).find_map(|rule| {
                rule.assignments.iter().rev().find(|(known, _)| known == name).map(|(_, state)| state.clone())
            });
            if let Some(state) = found {
                return state;
            }
            if directory.is_empty() {
                return State::Unspecified;
            }
            directory = directory.rfind_byte(b'/').map_or(BStr::new(""), |at| directory[..at].as_bstr());
        }
    }

    /// Whether archives leave the path out.
    pub fn is_export_ignored(&self, path: &BStr, is_directory: bool) -> bool {
        !self.rules.is_empty() && self.get(path, is_directory, "export-ignore") == State::Set
    }
}

impl Rule {
    /// `path` is relative to the directory of the file with the rule.
    fn fits(&self, path: &BStr, is_directory: bool) -> bool {
        let base_name = path.rfind_byte(b'/').map(|at| at + 1);
        let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
        self.pattern.matches_repo_relative_path(path, base_name, Some(is_directory), Case::Sensitive, mode)
    }
}

/// The pattern of a line, which may be in quotes, and the words behind it.
fn split_pattern(line: &BStr) -> Option<(BString, &BStr)> {
    if line.starts_with(b"\"") {
        let (pattern, length) = gix::quote::ansi_c::undo(line).ok()?;
        return Some((pattern.into_owned(), line[length..].as_bstr()));
    }
    let end = line.find_byteset(b" \t").unwrap_or(line.len());
    Some((line[..end].into(), line[end..].as_bstr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_and_last_line_counts() {
        let mut attributes = Attributes::default();
        attributes.add(
            "".into(),
            b"# comment\n[attr]out export-ignore -diff\n*.bin filter=lfs diff=lfs -text\n/docs export-ignore\n\
              \"with space\" export-ignore\nnot/*.c out\nvalue export-ignore=yes\n*.log export-ignore\n",
        );
        attributes.add("sub".into(), b"*.log !export-ignore\nkeep.log -export-ignore\n*.bin -filter\n");
        let ignored = |path: &str, directory| attributes.is_export_ignored(path.into(), directory);
        for (path, is_directory, is_ignored) in [
            ("docs", true, true),
            ("sub/docs", true, false),
            ("with space", false, true),
            ("not/a.c", false, true),
            ("sub/not/a.c", false, false),
            ("value", false, false),
            ("deep/er/x.log", false, true),
            ("sub/x.log", false, false),
        ] {
            assert_eq!(ignored(path, is_directory), is_ignored, "{path}");
        }
        assert_eq!(attributes.get("a/b.bin".into(), false, "filter"), State::Value("lfs".into()));
        assert_eq!(attributes.get("sub/b.bin".into(), false, "filter"), State::Unset);
        assert_eq!(attributes.get("not/a.c".into(), false, "diff"), State::Unset);
    }
}
