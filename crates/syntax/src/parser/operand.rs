//! Operands: literals, variables, brackets; selection from them; their application.

use smallvec::SmallVec;

use super::{Parsed, Parser, Piece, Stop};
use crate::ast::{Node, NodeId, PathId, SetId, Span, Text};
use crate::error::SyntaxError;
use crate::token::Kind;

impl Parser<'_> {
    /// `f x y`: operands without operators between them.
    pub(super) fn application(&mut self) -> Parsed<Piece> {
        let function = self.selection()?;
        if !self.operand_begins() {
            return Ok(function);
        }
        let mut arguments: SmallVec<[NodeId; 8]> = SmallVec::new();
        let mut span = function.span;
        while self.operand_begins() {
            let argument = self.selection()?;
            arguments.push(argument.id);
            span = span.to(argument.span);
        }
        let arguments = self.ids(&arguments);
        Ok(self.piece(Node::Call(function.id, arguments), span))
    }

    fn operand_begins(&mut self) -> bool {
        self.token.kind.begins_operand() || self.at_legacy_let()
    }

    /// An operand, with `.path` and `or default` after it.
    fn selection(&mut self) -> Parsed<Piece> {
        let operand = self.operand()?;
        if self.at(Kind::OrKeyword) {
            return Ok(self.or_as_argument(operand));
        }
        if !self.eat(Kind::Dot) {
            return Ok(operand);
        }
        let path = self.attr_path()?;
        let span = operand.span.to(Span::new(self.previous_end, self.previous_end));
        if !self.eat(Kind::OrKeyword) {
            return Ok(self.piece(Node::Select(operand.id, path), span));
        }
        let default = self.nested(Self::selection)?;
        let path_id = PathId(self.ast.paths.len() as u32);
        self.ast.paths.push(path);
        Ok(self.piece(Node::SelectOr(operand.id, path_id, default.id), span.to(default.span)))
    }

    /// `f or`: old Nixpkgs has a function of that name, so the word is an argument where no `.path` precedes it.
    fn or_as_argument(&mut self, function: Piece) -> Piece {
        let span = self.token.span;
        let name = self.token_name();
        self.bump();
        let or = self.node(Node::Var(name), span);
        let arguments = self.ids(&[or]);
        self.piece(Node::Call(function.id, arguments), function.span.to(span))
    }

    fn operand(&mut self) -> Parsed<Piece> {
        let span = self.token.span;
        let kind = self.token.kind;
        let node = match kind {
            Kind::Ident => return Ok(self.variable()),
            Kind::Int => self.integer()?,
            Kind::Float => self.float()?,
            Kind::Quote => return self.string(),
            Kind::IndentedQuote => return self.indented_string(),
            Kind::Path | Kind::HomePath => return self.path(),
            Kind::SearchPath => Node::SearchPath(self.source_text(Span::new(span.start + 1, span.end - 1))),
            Kind::Uri => self.uri(),
            Kind::LeftParen => return self.parenthesized(),
            Kind::LeftBracket => return self.list(),
            Kind::LeftBrace => return self.set(false, span, Node::Attrs),
            Kind::Rec => {
                self.bump();
                return self.set(true, span, Node::Attrs);
            }
            Kind::Let if self.at_legacy_let() => {
                self.bump();
                return self.set(true, span, Node::LegacyLet);
            }
            _ => return Err(self.unexpected_operand()),
        };
        let piece = self.piece(node, span);
        self.bump();
        Ok(piece)
    }

    fn variable(&mut self) -> Piece {
        let span = self.token.span;
        let name = self.token_name();
        let is_position = self.ast.name(name) == b"__curPos";
        let node = if is_position { Node::CurPos } else { Node::Var(name) };
        self.bump();
        self.piece(node, span)
    }

    fn token_text(&self) -> &str {
        let span = self.token.span;
        std::str::from_utf8(&self.source[span.start as usize..span.end as usize]).unwrap_or_default()
    }

    fn uri(&mut self) -> Node {
        let span = self.token.span;
        let error = SyntaxError::new("a URL without quotes is easily mistaken for something else", span)
            .help(format!("write \"{}\"", self.token_text()));
        self.lint(self.options.lints.url_literals, error);
        Node::Str(self.source_text(span))
    }

    fn integer(&mut self) -> Parsed<Node> {
        if let Ok(value) = self.token_text().parse() {
            return Ok(Node::Int(value));
        }
        let message = format!("the integer {} does not fit in 64 bits", self.token_text());
        let error = SyntaxError::new(message, self.token.span).help(format!("the largest is {}", i64::MAX));
        self.fail(error);
        Ok(Node::Error)
    }

    fn float(&mut self) -> Parsed<Node> {
        let text = self.token_text();
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if value.is_normal() || zero {
            return Ok(Node::Float(value));
        }
        let message = format!("the number {text} is too {} for a double", if value > 1.0 { "large" } else { "small" });
        self.fail(SyntaxError::new(message, self.token.span));
        Ok(Node::Error)
    }

    fn parenthesized(&mut self) -> Parsed<Piece> {
        let open = self.token.span;
        self.bump();
        let inner = self.expression()?;
        let close = self.close(Kind::RightParen, "an operator or ')'", open)?;
        Ok(Piece { id: inner.id, span: open.to(close) })
    }

    fn list(&mut self) -> Parsed<Piece> {
        let open = self.token.span;
        self.bump();
        self.nested(|parser| {
            let mut elements: SmallVec<[NodeId; 16]> = SmallVec::new();
            while parser.operand_begins() {
                elements.push(parser.selection()?.id);
            }
            if !parser.at(Kind::RightBracket) {
                return Err(parser.unexpected_in_list(open));
            }
            let span = open.to(parser.token.span);
            parser.bump();
            let elements = parser.ids(&elements);
            Ok(parser.piece(Node::List(elements), span))
        })
    }

    /// `{ … }` at the current brace; `start` is where the expression begins.
    fn set(&mut self, recursive: bool, start: Span, node: fn(SetId) -> Node) -> Parsed<Piece> {
        let open = self.token.span;
        if !self.eat(Kind::LeftBrace) {
            return Err(self.unexpected("'{' after 'rec'"));
        }
        self.nested(|parser| {
            let set = parser.bindings(recursive, open)?;
            let close = parser.close(Kind::RightBrace, "a binding or '}'", open)?;
            Ok(parser.piece(node(set), start.to(close)))
        })
    }

    fn unexpected_operand(&mut self) -> Stop {
        let error = self.expected("an expression");
        let error = match self.token.kind {
            Kind::If | Kind::Let | Kind::With | Kind::Assert => {
                let word = self.describe(self.token).replace("the keyword ", "");
                error.help(format!("{word} in the middle of an expression needs parentheses around it"))
            }
            Kind::OrKeyword => error.help("'or' gives a default to a selection: a.b or c"),
            _ => error,
        };
        self.fail(error)
    }

    fn unexpected_in_list(&mut self, open: Span) -> Stop {
        let error = self.expected("a list element or ']'").label(open, "in the list opened here");
        let error = match self.token.kind {
            Kind::End | Kind::OpenComment | Kind::Unknown | Kind::RightBrace | Kind::RightParen => error,
            Kind::Comma => error.help("the elements of a list are separated by white space"),
            Kind::Semicolon | Kind::Assign => error.help("close the list with ']'"),
            _ => error.help("an element that is more than one operand needs parentheses: [ (f x) (1 + 2) ]"),
        };
        self.fail(error)
    }

    /// An empty text.
    pub(super) fn empty_text(&self) -> Text {
        Text { start: self.ast.pool.len() as u32, len: 0 }
    }
}
