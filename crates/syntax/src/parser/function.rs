//! Functions: `x: …`, `{ a, b ? e, ... }: …`, and both joined by `@`.

use rustc_hash::FxHashMap;

use super::{Parsed, Parser, Piece};
use crate::ast::{Formal, Formals, Lambda, LambdaId, Name, Node, Run, Span};
use crate::error::SyntaxError;
use crate::token::Kind;

/// Up to this many arguments, a duplicate is searched by looking at all pairs.
const FEW: usize = 12;

impl Parser<'_> {
    /// The function that begins at the current name or `{`, if one does.
    pub(super) fn function(&mut self) -> Parsed<Option<Piece>> {
        let start = self.token.span;
        let (arg, formals) = if self.at(Kind::Ident) {
            let has_pattern = match self.peek().kind {
                Kind::Colon => false,
                Kind::At => true,
                _ => return Ok(None),
            };
            self.bump();
            (Some(start), if has_pattern { Some(self.pattern_after_at()?) } else { None })
        } else if self.pattern_begins() {
            let formals = self.pattern()?;
            let arg = if self.eat(Kind::At) { Some(self.argument_after_at()?) } else { None };
            (arg, Some(formals))
        } else {
            return Ok(None);
        };
        if let (Some(span), Some(formals)) = (arg, formals) {
            self.check_argument(span, formals.list);
        }
        self.colon(formals.is_some() && arg.is_none())?;
        let body = self.expression()?;
        // The name of the argument is met after the body, and that of a formal after its default: the order of the
        // names is that of Nix's parser, since it can be seen in the order in which `==` evaluates attributes.
        let arg = arg.map(|span| self.name_at(span));
        let id = LambdaId(self.ast.lambdas.len() as u32);
        self.ast.lambdas.push(Lambda { arg, formals, body: body.id, name: None });
        Ok(Some(self.piece(Node::Lambda(id), start.to(body.span))))
    }

    fn colon(&mut self, bare_pattern: bool) -> Parsed<()> {
        if self.eat(Kind::Colon) {
            return Ok(());
        }
        let error = match bare_pattern {
            true => self.expected("':' or '@' after the pattern").help("if a set was meant: { name = value; }"),
            false => self.expected("':' after the argument"),
        };
        Err(self.fail(error))
    }

    fn argument_after_at(&mut self) -> Parsed<Span> {
        if !self.at(Kind::Ident) {
            return Err(self.unexpected("a name for the whole argument after '@'"));
        }
        let span = self.token.span;
        self.bump();
        Ok(span)
    }

    fn pattern_after_at(&mut self) -> Parsed<Formals> {
        self.bump();
        if !self.at(Kind::LeftBrace) {
            return Err(self.unexpected("a pattern '{ … }' after '@'"));
        }
        self.pattern()
    }

    /// Whether the current `{` opens a pattern and not a set.
    fn pattern_begins(&mut self) -> bool {
        let first = self.peek();
        let after = |parser: &mut Self| parser.lexer.token(first.span.end as usize).kind;
        match first.kind {
            Kind::Ellipsis => true,
            Kind::RightBrace => matches!(after(self), Kind::Colon | Kind::At),
            Kind::Ident => matches!(after(self), Kind::Comma | Kind::Question | Kind::RightBrace),
            _ => false,
        }
    }

    /// `{ a, b ? e, ... }`.
    fn pattern(&mut self) -> Parsed<Formals> {
        let open = self.token.span;
        self.bump();
        let mut list = Vec::new();
        let mut ellipsis = false;
        while !self.at(Kind::RightBrace) {
            if self.eat(Kind::Ellipsis) {
                ellipsis = true;
                break;
            }
            if !self.at(Kind::Ident) {
                let error = self.expected("the name of an argument, '...' or '}'").label(open, "in this pattern");
                return Err(self.fail(error));
            }
            let span = self.token.span;
            self.bump();
            let default = if self.eat(Kind::Question) { Some(self.expression()?.id) } else { None };
            let name = self.name_at(span);
            list.push(Formal { name, span, default });
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        let words = if ellipsis { "'}', since '...' comes last," } else { "',' or '}'" };
        self.close(Kind::RightBrace, words, open)?;
        self.check_formals(&list);
        let run = Run { start: self.ast.formals.len() as u32, len: list.len() as u32 };
        self.ast.formals.append(&mut list);
        Ok(Formals { list: run, ellipsis })
    }

    fn check_formals(&mut self, list: &[Formal]) {
        let mut seen = FxHashMap::default();
        for (index, formal) in list.iter().enumerate() {
            let first = if list.len() <= FEW {
                list[..index].iter().find(|other| other.name == formal.name).map(|other| other.span)
            } else {
                seen.insert(formal.name, formal.span)
            };
            if let Some(first) = first {
                self.duplicate_argument(formal.name, formal.span, first);
            }
        }
    }

    fn check_argument(&mut self, span: Span, list: Run) {
        let text = &self.source[span.start as usize..span.end as usize];
        let same = self.ast.formals(list).iter().find(|formal| self.ast.name(formal.name) == text);
        if let Some(Formal { name, span: first, .. }) = same.copied() {
            self.duplicate_argument(name, span.max_start(first), span.min_start(first));
        }
    }

    fn duplicate_argument(&mut self, name: Name, second: Span, first: Span) {
        let message = format!("the argument '{}' is named twice", String::from_utf8_lossy(self.ast.name(name)));
        self.fail(SyntaxError::new(message, second).label(first, "first named here"));
    }
}

impl Span {
    fn max_start(self, other: Span) -> Span {
        if self.start >= other.start { self } else { other }
    }

    fn min_start(self, other: Span) -> Span {
        if self.start < other.start { self } else { other }
    }
}
