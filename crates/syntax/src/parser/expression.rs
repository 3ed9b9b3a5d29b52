//! Expressions that reach as far to the right as they can: functions, `let`, `with`, `assert`, `if`.

use super::{Parsed, Parser, Piece, Stop};
use crate::ast::{Node, Span};
use crate::error::SyntaxError;
use crate::token::Kind;

impl Parser<'_> {
    /// Any expression.
    pub(super) fn expression(&mut self) -> Parsed<Piece> {
        self.nested(|parser| {
            let kind = parser.token.kind;
            match kind {
                Kind::If => parser.conditional(),
                Kind::Let if !parser.at_legacy_let() => parser.let_in(),
                Kind::With => parser.with(),
                Kind::Assert => parser.assert(),
                Kind::Ident | Kind::LeftBrace => match parser.function()? {
                    Some(function) => Ok(function),
                    None => parser.operation(),
                },
                _ => parser.operation(),
            }
        })
    }

    /// Whether the current token begins `let { … }`, which is an operand.
    pub(super) fn at_legacy_let(&mut self) -> bool {
        self.at(Kind::Let) && self.peek().kind == Kind::LeftBrace
    }

    fn conditional(&mut self) -> Parsed<Piece> {
        let start = self.token.span;
        self.bump();
        let condition = self.expression()?;
        self.keyword(Kind::Then, "then", start)?;
        let then = self.expression()?;
        self.keyword(Kind::Else, "else", start)?;
        let otherwise = self.expression()?;
        let span = start.to(otherwise.span);
        Ok(self.piece(Node::If(condition.id, then.id, otherwise.id), span))
    }

    fn keyword(&mut self, kind: Kind, word: &str, start: Span) -> Parsed<()> {
        if self.eat(kind) {
            return Ok(());
        }
        let error = self.expected(&format!("an operator or '{word}'")).label(start, "for this 'if'");
        Err(self.fail(error))
    }

    fn let_in(&mut self) -> Parsed<Piece> {
        let start = self.token.span;
        self.bump();
        let set = self.bindings(true, start)?;
        if !self.at(Kind::In) {
            let error = self.expected("a binding or 'in'").label(start, "for this 'let'");
            return Err(self.fail(error));
        }
        self.bump();
        if let Some(first) = self.ast.set(set).dynamic.first() {
            let error = SyntaxError::new("the name of a variable in 'let' must be written out", first.span)
                .help("bind a set with that attribute instead, and select from it");
            self.fail(error);
        }
        let body = self.expression()?;
        let span = start.to(body.span);
        Ok(self.piece(Node::Let(set, body.id), span))
    }

    fn with(&mut self) -> Parsed<Piece> {
        let start = self.token.span;
        self.bump();
        let scope = self.expression()?;
        self.semicolon("after the set of 'with'")?;
        let body = self.expression()?;
        let span = start.to(body.span);
        Ok(self.piece(Node::With(scope.id, body.id), span))
    }

    fn assert(&mut self) -> Parsed<Piece> {
        let start = self.token.span;
        self.bump();
        let condition = self.expression()?;
        self.semicolon("after the condition of 'assert'")?;
        let body = self.expression()?;
        let span = start.to(body.span);
        Ok(self.piece(Node::Assert(condition.id, body.id), span))
    }

    /// Takes a `;`. Where it lacks, the error points to the place it should be at.
    pub(super) fn semicolon(&mut self, after: &str) -> Parsed<()> {
        if self.eat(Kind::Semicolon) {
            return Ok(());
        }
        let missing = Span::new(self.previous_end, self.previous_end);
        let error = self.expected(&format!("';' {after}"));
        let error = match self.token.kind {
            Kind::Unknown | Kind::OpenComment => error,
            Kind::Colon => error.help("a function in this place needs parentheses: (x: …)"),
            _ => error.label(missing, "';' is missing here"),
        };
        Err(self.fail(error))
    }

    /// Records that the text goes on after a whole expression.
    pub(super) fn unexpected_after_expression(&mut self) -> Stop {
        let error = self.expected("an operator or the end of the text");
        let error = match self.token.kind {
            Kind::Colon => error.help("a function in this place needs parentheses: (x: …)"),
            Kind::Assign => error.help("bindings belong in a set '{ … }' or in 'let … in'"),
            Kind::RightBrace | Kind::RightBracket | Kind::RightParen => {
                error.help("nothing is open that it could close")
            }
            _ => error,
        };
        self.fail(error)
    }
}
