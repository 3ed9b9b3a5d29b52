//! What TOML 1.1 allows and 1.0 does not. Nix reads 1.0, so that a file is good here only if it is good there.

use toml_parser::lexer::{Token, TokenKind};

/// The first thing in a document that only 1.1 allows, as a phrase, with the byte where it begins. The document must be a
/// good one of 1.1.
pub(super) fn newer_than_1_0(text: &str, tokens: &[Token]) -> Option<(&'static str, usize)> {
    // What is open: inline tables, and arrays, in which lines may break even within an inline table.
    let mut open = Vec::new();
    let mut last = TokenKind::Eof;
    for token in tokens {
        let (kind, start) = (token.kind(), token.span().start());
        let in_table = open.last() == Some(&TokenKind::LeftCurlyBracket);
        match kind {
            TokenKind::LeftCurlyBracket | TokenKind::LeftSquareBracket => open.push(kind),
            TokenKind::RightCurlyBracket if last == TokenKind::Comma => {
                return Some(("a comma at the end of an inline table", start));
            }
            TokenKind::RightCurlyBracket | TokenKind::RightSquareBracket => drop(open.pop()),
            TokenKind::Newline | TokenKind::Comment if in_table => {
                return Some(("a line break in an inline table", start));
            }
            TokenKind::BasicString | TokenKind::MlBasicString => {
                let string = &text[start..token.span().end()];
                if let Some((escape, at)) = newer_escape(string) {
                    return Some((escape, start + at));
                }
            }
            _ => {}
        }
        if !matches!(kind, TokenKind::Whitespace | TokenKind::Newline | TokenKind::Comment) {
            last = kind;
        }
    }
    None
}

fn newer_escape(string: &str) -> Option<(&'static str, usize)> {
    let mut bytes = string.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'\\' {
            continue;
        }
        match bytes.next() {
            Some((_, b'e')) => return Some(("the escape \\e", at)),
            Some((_, b'x')) => return Some(("the escape \\x", at)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::newer_than_1_0;

    #[test]
    fn what_is_new_is_found_and_nothing_else() {
        for (text, found) in [
            ("a = { b = 1, }", Some(13)),
            ("a = { b = 1\n}", Some(11)),
            ("a = { # c\n b = 1 }", Some(6)),
            ("a = \"x\\e\"", Some(6)),
            ("a = \"\"\"\n\\x41\"\"\"", Some(8)),
            ("a = { b = [ 1,\n 2, ], c = {} }", None),
            ("[a]\nb = \"\\\\e\"\n[[c]]\nd = [\n{ x = '\\e' },\n]", None),
            ("# \\e { ,}\na = 1 # }\n", None),
        ] {
            let tokens = toml_parser::Source::new(text).lex().into_vec();
            assert_eq!(newer_than_1_0(text, &tokens).map(|(_, at)| at), found, "{text}");
        }
    }
}
