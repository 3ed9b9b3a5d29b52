//! Tables that a header made and a dotted key would add to, which the reader lets pass and TOML forbids:
//!
//! ```toml
//! [a.b.c]
//! [a]
//! b.d = 1
//! ```

use std::collections::BTreeSet;

use toml_parser::decoder::Encoding;
use toml_parser::lexer::Token;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

/// The byte where the first such key begins. The document must be a good one otherwise.
pub(super) fn reopening_key(source: Source<'_>, tokens: &[Token]) -> Option<usize> {
    let mut headers =
        Headers { source, made: BTreeSet::new(), table: String::new(), key: Vec::new(), nested: 0, found: None };
    parse_document(tokens, &mut headers, &mut ());
    headers.found
}

/// Ends each step of a path.
const END: char = '\0';

struct Headers<'a> {
    source: Source<'a>,
    /// The paths of the tables that headers made, those on the way included.
    made: BTreeSet<String>,
    /// The path of the table that keys are added to.
    table: String,
    /// The steps of the key that is being read, and where it begins.
    key: Vec<(String, usize)>,
    /// How many inline tables and arrays are open; what is in them is theirs.
    nested: usize,
    found: Option<usize>,
}

impl Headers<'_> {
    fn open(&mut self) {
        self.key.clear();
    }

    /// Takes the key of a header as the path of the table.
    fn close(&mut self, is_array: bool) {
        self.table.clear();
        for (step, _) in self.key.drain(..) {
            self.table.push_str(&step);
            self.table.push(END);
            self.made.insert(self.table.clone());
        }
        if is_array {
            // The tables below belong to the element before.
            let below = self.made.range(self.table.clone()..).skip(1);
            let below: Vec<String> = below.take_while(|path| path.starts_with(&self.table)).cloned().collect();
            for path in &below {
                self.made.remove(path);
            }
        }
    }
}

impl EventReceiver for Headers<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close(false);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close(true);
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.nested += 1;
        true
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.nested -= 1;
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.nested += 1;
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.nested -= 1;
    }

    fn simple_key(&mut self, span: Span, kind: Option<Encoding>, _: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span).filter(|_| self.nested == 0 && self.found.is_none()) else { return };
        let mut step = String::new();
        toml_parser::Raw::new_unchecked(raw.as_str(), kind, span).decode_key(&mut step, &mut ());
        self.key.push((step, span.start()));
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if self.nested > 0 {
            return;
        }
        let key = std::mem::take(&mut self.key);
        let before = key.len().saturating_sub(1);
        let mut path = self.table.clone();
        for (step, _) in &key[..before] {
            path.push_str(step);
            path.push(END);
            if self.made.contains(&path) {
                self.found.get_or_insert(key[0].1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_of_headers_are_closed() {
        for (text, found) in [
            ("[a.b.c]\n[a]\nb.d = 1", Some(12)),
            ("[a.'b\".d'.c]\n[a]\n\"b\\\".d\".d = 1", Some(17)),
            ("[a]\nb.c = 1\nb.d = { b.c = 1 }\n[a.e]", None),
            ("[a.b]\n[c]\nb.d = [ { a.b = 1 } ]", None),
            ("[[a]]\n[a.b]\n[[a]]\nb.c = 1", None),
            ("[[a]]\n[[ab]]\n[ab.b]\n[[a]]\nb.c = 1", None),
        ] {
            let source = Source::new(text);
            assert_eq!(reopening_key(source, &source.lex().into_vec()), found, "{text}");
        }
    }
}
