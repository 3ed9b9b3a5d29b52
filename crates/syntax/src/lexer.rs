//! Text to tokens: the longest match wins, as in Nix's own scanner.
//!
//! A token is read at any offset the parser names. What is inside strings and paths the parser reads by itself, so no
//! stack of modes is needed.

use crate::ast::Span;
use crate::token::{Kind, Token};

/// The bytes of `a/b`: letters, digits and `. _ - +`.
pub(crate) const PATH: u8 = 1;
const IDENT: u8 = 2;
const LETTER: u8 = 4;
const DIGIT: u8 = 8;
const URI: u8 = 16;
const URI_SCHEME: u8 = 32;

/// What each byte may be part of.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        let letter = c.is_ascii_alphabetic();
        let digit = c.is_ascii_digit();
        let mut class = 0;
        if letter || c == b'_' {
            class |= LETTER;
        }
        if digit {
            class |= DIGIT;
        }
        if letter || digit || matches!(c, b'_' | b'\'' | b'-') {
            class |= IDENT;
        }
        if letter || digit || matches!(c, b'.' | b'_' | b'-' | b'+') {
            class |= PATH;
        }
        if letter || digit || matches!(c, b'+' | b'-' | b'.') {
            class |= URI_SCHEME;
        }
        if letter || digit || uri_punctuation(c) {
            class |= URI;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

const fn uri_punctuation(c: u8) -> bool {
    matches!(
        c,
        b'%' | b'/'
            | b'?'
            | b':'
            | b'@'
            | b'&'
            | b'='
            | b'+'
            | b'$'
            | b','
            | b'-'
            | b'_'
            | b'.'
            | b'!'
            | b'~'
            | b'*'
            | b'\''
    )
}

/// The byte at an offset; NUL at the end.
pub(crate) fn byte(source: &[u8], at: usize) -> u8 {
    source.get(at).copied().unwrap_or(0)
}

/// The offset after the run of bytes of a class that begins at `at`.
pub(crate) fn run(source: &[u8], mut at: usize, class: u8) -> usize {
    while at < source.len() && CLASS[source[at] as usize] & class != 0 {
        at += 1;
    }
    at
}

/// The source, and what is known of it so that no stretch is searched twice in vain: without it `a.a.a.…`, where
/// every `a` might begin a path or a URI, would take quadratic time.
pub(crate) struct Lexer<'s> {
    source: &'s [u8],
    no_path: Stretch,
    no_uri: Stretch,
}

/// Offsets at which something is known not to begin.
#[derive(Default)]
struct Stretch {
    from: usize,
    to: usize,
}

impl Stretch {
    fn holds(&self, at: usize) -> bool {
        self.from <= at && at < self.to
    }
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(source: &'s [u8]) -> Self {
        Lexer { source, no_path: Stretch::default(), no_uri: Stretch::default() }
    }

    /// The token that begins at or after `at`, white space and comments skipped.
    pub(crate) fn token(&mut self, at: usize) -> Token {
        let at = match skip_blank(self.source, at) {
            Ok(at) => at,
            Err(comment) => return make(Kind::OpenComment, comment, comment + 2),
        };
        let Some(&first) = self.source.get(at) else {
            return make(Kind::End, at, at);
        };
        let class = CLASS[first as usize];
        if class & LETTER != 0 {
            return self.word(at);
        }
        if class & DIGIT != 0 || first == b'.' {
            return self.path(at).unwrap_or_else(|| number(self.source, at));
        }
        match first {
            b'-' | b'+' | b'/' => self.path(at).unwrap_or_else(|| operator(self.source, at)),
            b'~' => home_path(self.source, at),
            b'<' => search_path(self.source, at).unwrap_or_else(|| operator(self.source, at)),
            b'\'' if byte(self.source, at + 1) == b'\'' => indented_quote(self.source, at),
            _ => operator(self.source, at),
        }
    }

    /// What begins with a letter or `_`: a word, a URI or a path, whichever is longest.
    fn word(&mut self, at: usize) -> Token {
        let end = run(self.source, at, IDENT);
        match byte(self.source, end) {
            b':' => self.uri(at).unwrap_or_else(|| name(self.source, at, end)),
            b'+' | b'.' | b'/' => {
                let longer = self.uri(at).or_else(|| self.path(at));
                longer.unwrap_or_else(|| name(self.source, at, end))
            }
            _ => name(self.source, at, end),
        }
    }

    /// `scheme:rest`.
    fn uri(&mut self, at: usize) -> Option<Token> {
        if self.source[at] == b'_' || self.no_uri.holds(at) {
            return None;
        }
        let colon = run(self.source, at, URI_SCHEME);
        if byte(self.source, colon) == b':' {
            let end = run(self.source, colon + 1, URI);
            if end > colon + 1 {
                return Some(make(Kind::Uri, at, end));
            }
        }
        self.no_uri = Stretch { from: at, to: colon };
        None
    }

    /// A path's first piece: `a/b/c`, perhaps with a slash at the end, or `a/` where `${` follows.
    fn path(&mut self, at: usize) -> Option<Token> {
        if self.no_path.holds(at) {
            return None;
        }
        let first = run(self.source, at, PATH);
        if byte(self.source, first) == b'/' {
            if self.source[first + 1..].starts_with(b"${") {
                return Some(make(Kind::Path, at, first + 1));
            }
            let end = segments(self.source, first);
            if end > first {
                return Some(make(Kind::Path, at, end));
            }
        }
        self.no_path = Stretch { from: at, to: first };
        None
    }
}

fn make(kind: Kind, start: usize, end: usize) -> Token {
    Token { kind, span: Span::new(start as u32, end as u32) }
}

/// Skips white space and comments. The error is the offset of a comment that is not closed.
fn skip_blank(source: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        match byte(source, at) {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' => {
                at = memchr::memchr2(b'\n', b'\r', &source[at..]).map_or(source.len(), |n| at + n);
            }
            b'/' if byte(source, at + 1) == b'*' => {
                let close = memchr::memmem::find(&source[at + 2..], b"*/").ok_or(at)?;
                at += 2 + close + 2;
            }
            _ => return Ok(at),
        }
    }
}

fn name(source: &[u8], at: usize, end: usize) -> Token {
    make(Kind::keyword(&source[at..end]).unwrap_or(Kind::Ident), at, end)
}

/// What begins with a digit or a point and is no path: a number or dots.
fn number(source: &[u8], at: usize) -> Token {
    let whole = run(source, at, DIGIT);
    if let Some(end) = float(source, at, whole) {
        return make(Kind::Float, at, end);
    }
    if whole > at {
        return make(Kind::Int, at, whole);
    }
    operator(source, at)
}

/// The end of the float that begins at `at`, whose leading digits end at `whole`: `12.`, `1.5e3`, `0.5`, `.5`, but
/// neither `0.` nor `00.5`.
fn float(source: &[u8], at: usize, whole: usize) -> Option<usize> {
    if byte(source, whole) != b'.' {
        return None;
    }
    let fraction = run(source, whole + 1, DIGIT);
    let begins_nonzero = whole > at && source[at] != b'0';
    let at_most_zero = whole == at || (whole == at + 1 && source[at] == b'0');
    let enough_digits = begins_nonzero || (at_most_zero && fraction > whole + 1);
    if !enough_digits {
        return None;
    }
    if !matches!(byte(source, fraction), b'e' | b'E') {
        return Some(fraction);
    }
    let sign = usize::from(matches!(byte(source, fraction + 1), b'+' | b'-'));
    let exponent = run(source, fraction + 1 + sign, DIGIT);
    Some(if exponent > fraction + 1 + sign { exponent } else { fraction })
}

/// The end of `/x/y…`, with a slash that ends it; `at` itself where there is none.
pub(crate) fn segments(source: &[u8], at: usize) -> usize {
    let mut end = at;
    while byte(source, end) == b'/' {
        let next = run(source, end + 1, PATH);
        if next == end + 1 {
            return if end > at { next } else { at };
        }
        end = next;
    }
    end
}

fn home_path(source: &[u8], at: usize) -> Token {
    let end = segments(source, at + 1);
    if end > at + 1 {
        make(Kind::HomePath, at, end)
    } else if source[at + 1..].starts_with(b"/${") {
        make(Kind::HomePath, at, at + 2)
    } else {
        make(Kind::Unknown, at, at + 1)
    }
}

/// `<a/b>`.
fn search_path(source: &[u8], at: usize) -> Option<Token> {
    let mut end = run(source, at + 1, PATH);
    if end == at + 1 {
        return None;
    }
    while byte(source, end) == b'/' {
        let next = run(source, end + 1, PATH);
        if next == end + 1 {
            return None;
        }
        end = next;
    }
    (byte(source, end) == b'>').then(|| make(Kind::SearchPath, at, end + 1))
}

/// `''`, with the spaces and the line feed after it if nothing else is on the line.
fn indented_quote(source: &[u8], at: usize) -> Token {
    let mut end = at + 2;
    while byte(source, end) == b' ' {
        end += 1;
    }
    let end = if byte(source, end) == b'\n' { end + 1 } else { at + 2 };
    make(Kind::IndentedQuote, at, end)
}

fn operator(source: &[u8], at: usize) -> Token {
    let rest = &source[at..];
    if rest.starts_with(b"...") {
        return make(Kind::Ellipsis, at, at + 3);
    }
    let double = match rest.get(..2).unwrap_or_default() {
        b"${" => Some(Kind::Dollar),
        b"==" => Some(Kind::Equal),
        b"!=" => Some(Kind::NotEqual),
        b"<=" => Some(Kind::LessOrEqual),
        b">=" => Some(Kind::GreaterOrEqual),
        b"&&" => Some(Kind::And),
        b"||" => Some(Kind::Or),
        b"->" => Some(Kind::Implies),
        b"//" => Some(Kind::Update),
        b"++" => Some(Kind::Concat),
        b"<|" => Some(Kind::PipeFrom),
        b"|>" => Some(Kind::PipeInto),
        _ => None,
    };
    if let Some(kind) = double {
        return make(kind, at, at + 2);
    }
    let kind = match rest[0] {
        b'"' => Kind::Quote,
        b'{' => Kind::LeftBrace,
        b'}' => Kind::RightBrace,
        b'[' => Kind::LeftBracket,
        b']' => Kind::RightBracket,
        b'(' => Kind::LeftParen,
        b')' => Kind::RightParen,
        b'=' => Kind::Assign,
        b';' => Kind::Semicolon,
        b':' => Kind::Colon,
        b',' => Kind::Comma,
        b'.' => Kind::Dot,
        b'@' => Kind::At,
        b'?' => Kind::Question,
        b'<' => Kind::Less,
        b'>' => Kind::Greater,
        b'!' => Kind::Not,
        b'+' => Kind::Plus,
        b'-' => Kind::Minus,
        b'*' => Kind::Star,
        b'/' => Kind::Slash,
        _ => Kind::Unknown,
    };
    make(kind, at, at + 1)
}
