//! Path literals with interpolation, and attribute paths.

use smallvec::SmallVec;

use super::{Parsed, Parser, Piece};
use crate::ast::{Key, KeyName, Node, Part, PathBase, Run, Span};
use crate::error::SyntaxError;
use crate::lexer;
use crate::token::Kind;

impl Parser<'_> {
    /// The path that begins with the current token.
    pub(super) fn path(&mut self) -> Parsed<Piece> {
        let start = self.token.span;
        let base = match self.source[start.start as usize] {
            b'/' => PathBase::Root,
            b'~' => PathBase::Home,
            _ => PathBase::File,
        };
        self.lint_path(base, start);
        let text = self.source_text(start);
        let head = self.piece(Node::Path(base, text), start);
        let mut parts: SmallVec<[Part; 4]> = SmallVec::new();
        let mut at = start.end as usize;
        let mut has_expression = false;
        loop {
            if self.source[at..].starts_with(b"${") {
                let (part, after) = self.interpolation(at)?;
                parts.push(part);
                at = after;
                has_expression = true;
            } else if let Some(end) = self.path_segment(at) {
                let doubled = !has_expression && !self.source[end..].starts_with(b"${");
                if doubled {
                    return Err(self.double_slash(at));
                }
                parts.push(Part::Str(self.source_text(Span::new(at as u32, end as u32))));
                at = end;
            } else {
                break;
            }
        }
        if self.source[at - 1] == b'/' {
            let slash = Span::new(at as u32 - 1, at as u32);
            let error = SyntaxError::new("a path cannot end in a slash", slash).help("leave the slash out");
            self.resume(at);
            return Err(self.fail(error));
        }
        self.resume(at);
        if parts.is_empty() {
            return Ok(head);
        }
        let run = self.parts(&parts);
        Ok(self.piece(Node::PathInterpolation(head.id, run), Span::new(start.start, at as u32)))
    }

    fn lint_path(&mut self, base: PathBase, span: Span) {
        let text = String::from_utf8_lossy(self.bytes(span)).into_owned();
        let lints = self.options.lints;
        if base != PathBase::File {
            let error = SyntaxError::new(format!("the path '{text}' is not the same on other machines"), span)
                .help("a string, a relative path or an argument would be");
            self.lint(lints.absolute_path_literals, error);
        } else if !text.starts_with('.') {
            let error = SyntaxError::new(format!("the relative path '{text}' does not look like one"), span)
                .help(format!("write ./{text}"));
            self.lint(lints.short_path_literals, error);
        }
    }

    /// The end of the literal bytes of a path at `at`, if there are any.
    fn path_segment(&self, at: usize) -> Option<usize> {
        let plain = lexer::run(self.source, at, lexer::PATH);
        if lexer::byte(self.source, plain) != b'/' {
            return (plain > at).then_some(plain);
        }
        Some(lexer::segments(self.source, plain).max(plain + 1))
    }

    fn double_slash(&mut self, at: usize) -> super::Stop {
        let slashes = Span::new(at as u32 - 1, at as u32 + 1);
        self.resume(at);
        self.fail(SyntaxError::new("a path cannot have two slashes in a row", slashes))
    }

    pub(super) fn parts(&mut self, parts: &[Part]) -> Run {
        let start = self.ast.parts.len() as u32;
        self.ast.parts.extend_from_slice(parts);
        Run { start, len: parts.len() as u32 }
    }

    /// `a.b."c".${d}`.
    pub(super) fn attr_path(&mut self) -> Parsed<Run> {
        let mut keys: SmallVec<[Key; 4]> = SmallVec::new();
        keys.push(self.key()?);
        while self.eat(Kind::Dot) {
            keys.push(self.key()?);
        }
        let start = self.ast.keys.len() as u32;
        self.ast.keys.extend_from_slice(&keys);
        Ok(Run { start, len: keys.len() as u32 })
    }

    /// One step of an attribute path.
    pub(super) fn key(&mut self) -> Parsed<Key> {
        let span = self.token.span;
        match self.token.kind {
            Kind::Ident | Kind::OrKeyword => {
                let name = self.token_name();
                self.bump();
                Ok(Key { name: KeyName::Static(name), span })
            }
            Kind::Quote => {
                let string = self.string()?;
                Ok(self.key_of(string))
            }
            Kind::Dollar => {
                self.bump();
                let inner = self.expression()?;
                let close = self.close(Kind::RightBrace, "an operator or '}'", span)?;
                Ok(self.key_of(Piece { id: inner.id, span: span.to(close) }))
            }
            _ => {
                let error = self.expected("the name of an attribute");
                let is_keyword = Kind::keyword(self.bytes(span)).is_some();
                let error = if is_keyword { error.help("a keyword as a name needs quotes") } else { error };
                Err(self.fail(error))
            }
        }
    }

    fn key_of(&mut self, piece: Piece) -> Key {
        let name = match self.ast.node(piece.id) {
            Node::Str(text) => {
                let bytes = self.ast.text(text).to_vec();
                KeyName::Static(self.ast.names.intern(&bytes, &mut self.ast.pool))
            }
            _ => KeyName::Dynamic(piece.id),
        };
        Key { name, span: piece.span }
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        &self.source[span.start as usize..span.end as usize]
    }
}
