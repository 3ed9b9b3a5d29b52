//! Strings: `"…"` and `''…''`, read straight from the source.

use smallvec::SmallVec;

use super::indentation::Raw;
use super::{Parsed, Parser, Piece, Stop};
use crate::ast::{Node, Part, Span, Text};
use crate::error::SyntaxError;
use crate::lexer::byte;
use crate::token::Kind;

/// What ends a run of plain bytes in a string.
enum Plain {
    Close,
    Interpolation,
    Unclosed,
}

impl Parser<'_> {
    /// The string whose quote is the current token.
    pub(super) fn string(&mut self) -> Parsed<Piece> {
        let open = self.token.span;
        let mut parts: SmallVec<[Part; 8]> = SmallVec::new();
        let mut at = open.end as usize;
        loop {
            let start = self.ast.pool.len();
            let (plain, end) = self.plain(at)?;
            let text = self.pool_text(start);
            match plain {
                Plain::Close if parts.is_empty() => return Ok(self.end_string(open, end, Node::Str(text))),
                Plain::Unclosed => return Err(self.unclosed("string", open)),
                _ if text.len > 0 => parts.push(Part::Str(text)),
                _ => {}
            }
            if matches!(plain, Plain::Close) {
                let run = self.parts(&parts);
                return Ok(self.end_string(open, end, Node::Interpolation(run)));
            }
            let (part, after) = self.interpolation(end)?;
            parts.push(part);
            at = after;
        }
    }

    /// What the pool holds from `start` on.
    pub(super) fn pool_text(&self, start: usize) -> Text {
        Text { start: start as u32, len: (self.ast.pool.len() - start) as u32 }
    }

    /// Makes the node of the string that ends before `end`, and goes on there.
    fn end_string(&mut self, open: Span, end: usize, node: Node) -> Piece {
        let piece = self.piece(node, Span::new(open.start, end as u32));
        self.resume(end);
        piece
    }

    fn unclosed(&mut self, what: &str, open: Span) -> Stop {
        self.fatal = true;
        self.fail(SyntaxError::new(format!("the {what} that begins here is not closed"), open))
    }

    fn nul_byte(&mut self, at: usize) -> Stop {
        let span = Span::new(at as u32, at as u32 + 1);
        self.resume(at + 1);
        self.fatal = true;
        self.fail(SyntaxError::new("a string cannot hold a NUL byte", span))
    }

    /// Copies the bytes at `at` to the pool, escapes resolved, up to the string's end or a `${`. Gives the offset
    /// after the closing quote, or that of the `${`.
    fn plain(&mut self, mut at: usize) -> Parsed<(Plain, usize)> {
        loop {
            let start = at;
            while !matches!(byte(self.source, at), b'"' | b'\\' | b'$' | b'\r' | 0) {
                at += 1;
            }
            self.ast.pool.extend_from_slice(&self.source[start..at]);
            match byte(self.source, at) {
                b'"' => return Ok((Plain::Close, at + 1)),
                b'\\' if at + 1 < self.source.len() => {
                    self.ast.pool.push(unescaped(self.source[at + 1]));
                    at += 2;
                }
                b'$' => match byte(self.source, at + 1) {
                    b'{' => return Ok((Plain::Interpolation, at)),
                    b'$' => {
                        self.ast.pool.extend_from_slice(b"$$");
                        at += 2;
                    }
                    _ => {
                        self.ast.pool.push(b'$');
                        at += 1;
                    }
                },
                b'\r' => {
                    self.ast.pool.push(b'\n');
                    at += if byte(self.source, at + 1) == b'\n' { 2 } else { 1 };
                }
                0 if at < self.source.len() => return Err(self.nul_byte(at)),
                _ => return Ok((Plain::Unclosed, at)),
            }
            if self.ast.pool.last() == Some(&0) {
                return Err(self.nul_byte(at - 1));
            }
        }
    }

    /// The `${…}` at `at`, and the offset after it.
    pub(super) fn interpolation(&mut self, at: usize) -> Parsed<(Part, usize)> {
        let open = Span::new(at as u32, at as u32 + 2);
        self.resume(at + 2);
        let inner = self.expression().and_then(|inner| {
            if self.at(Kind::RightBrace) {
                return Ok(inner);
            }
            let error = self.expected("an operator or '}'").label(open, "opened here");
            Err(self.fail(error))
        });
        if inner.is_err() {
            // Where the string would go on cannot be known.
            self.fatal = true;
        }
        Ok((Part::Expr(inner?.id), self.token.span.end as usize))
    }

    /// The `''` string whose opening is the current token.
    pub(super) fn indented_string(&mut self) -> Parsed<Piece> {
        let open = self.token.span;
        let mut raw: SmallVec<[Raw; 16]> = SmallVec::new();
        let mut at = open.end as usize;
        loop {
            let end = self.indented_lines(at)?;
            if end > at {
                raw.push(Raw::Lines(at, end));
                at = end;
            }
            let (byte, count, length) = match &self.source[at..] {
                [] => return Err(self.unclosed("indented string", open)),
                [b'$', b'{', ..] => {
                    let (part, after) = self.interpolation(at)?;
                    raw.push(Raw::Expr(part));
                    at = after;
                    continue;
                }
                [b'\'', b'\'', b'$', ..] => (b'$', 1, 3),
                [b'\'', b'\'', b'\'', ..] => (b'\'', 2, 3),
                [b'\'', b'\'', b'\\', 0, ..] => return Err(self.nul_byte(at + 3)),
                [b'\'', b'\'', b'\\', byte, ..] => (unescaped(*byte), 1, 4),
                [b'\'', b'\'', ..] => break,
                [byte, ..] => (*byte, 1, 1),
            };
            raw.push(Raw::Escaped { byte, count });
            at += length;
        }
        let node = self.strip(&raw);
        Ok(self.end_string(open, at + 2, node))
    }

    /// The end of the bytes at `at` that stand for themselves: up to `${`, `''`, or a `$` or `'` before one of those.
    fn indented_lines(&mut self, at: usize) -> Parsed<usize> {
        let mut end = at;
        loop {
            let rest = &self.source[end..];
            end += memchr::memchr2(b'$', b'\'', rest).unwrap_or(rest.len());
            match &self.source[end..] {
                [b'$', next, ..] if !matches!(next, b'{' | b'\'') => end += 2,
                [b'\'', next, ..] if !matches!(next, b'\'' | b'$') => end += 2,
                _ => break,
            }
        }
        match memchr::memchr(0, &self.source[at..end]) {
            Some(nul) => Err(self.nul_byte(at + nul)),
            None => Ok(end),
        }
    }
}

/// What a backslash and this byte stand for.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => byte,
    }
}
