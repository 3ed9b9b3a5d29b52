//! Operators, by precedence, on an explicit stack: no chain of them, however long, uses the machine's stack.

use super::{Parsed, Parser, Piece};
use crate::ast::{BinaryOp, Node, Span};
use crate::error::SyntaxError;
use crate::token::Kind;

/// The operators and operands that wait for their right-hand side; one stack for all levels of nesting.
#[derive(Default)]
pub(super) struct Stack {
    waiting: Vec<Waiting>,
    operands: Vec<Piece>,
}

#[derive(Clone, Copy)]
struct Waiting {
    operator: Operator,
    strength: u8,
    span: Span,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Not,
    Negate,
    Binary(BinaryOp),
}

/// To which side a chain of operators of one strength groups.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Neither,
}

const NOT: u8 = 7;
const NEGATE: u8 = 12;

/// The operator a token is, how strongly it binds, and to which side.
fn binary(kind: Kind) -> Option<(BinaryOp, u8, Side)> {
    Some(match kind {
        Kind::PipeFrom => (BinaryOp::PipeFrom, 0, Side::Right),
        Kind::PipeInto => (BinaryOp::PipeInto, 0, Side::Left),
        Kind::Implies => (BinaryOp::Implies, 1, Side::Right),
        Kind::Or => (BinaryOp::Or, 2, Side::Left),
        Kind::And => (BinaryOp::And, 3, Side::Left),
        Kind::Equal => (BinaryOp::Equal, 4, Side::Neither),
        Kind::NotEqual => (BinaryOp::NotEqual, 4, Side::Neither),
        Kind::Less => (BinaryOp::Less, 5, Side::Neither),
        Kind::LessOrEqual => (BinaryOp::LessOrEqual, 5, Side::Neither),
        Kind::Greater => (BinaryOp::Greater, 5, Side::Neither),
        Kind::GreaterOrEqual => (BinaryOp::GreaterOrEqual, 5, Side::Neither),
        Kind::Update => (BinaryOp::Update, 6, Side::Right),
        Kind::Plus => (BinaryOp::Add, 8, Side::Left),
        Kind::Minus => (BinaryOp::Sub, 8, Side::Left),
        Kind::Star => (BinaryOp::Mul, 9, Side::Left),
        Kind::Slash => (BinaryOp::Div, 9, Side::Left),
        Kind::Concat => (BinaryOp::Concat, 10, Side::Right),
        _ => return None,
    })
}

impl Parser<'_> {
    /// Operands joined by operators.
    pub(super) fn operation(&mut self) -> Parsed<Piece> {
        let base = (self.operators.waiting.len(), self.operators.operands.len());
        let result = self.operation_above(base.0);
        self.operators.waiting.truncate(base.0);
        self.operators.operands.truncate(base.1);
        result
    }

    /// The same, leaving the first `base` waiting operators alone.
    fn operation_above(&mut self, base: usize) -> Parsed<Piece> {
        loop {
            self.prefixes();
            let mut operand = self.application()?;
            if self.at(Kind::Question) {
                operand = self.has_attr(operand, base)?;
            }
            self.operators.operands.push(operand);
            let Some((operator, strength, side)) = binary(self.token.kind) else {
                self.reduce(base, 0);
                return Ok(self.operators.operands.pop().expect("an operand was pushed in this call"));
            };
            self.require_pipes(operator)?;
            self.reduce(base, strength + 1);
            self.check_chain(base, operator, strength, side)?;
            if side == Side::Left {
                self.reduce(base, strength);
            }
            let span = self.token.span;
            self.operators.waiting.push(Waiting { operator: Operator::Binary(operator), strength, span });
            self.bump();
        }
    }

    /// Takes the `!` and `-` before an operand.
    fn prefixes(&mut self) {
        loop {
            let (operator, strength) = match self.token.kind {
                Kind::Not => (Operator::Not, NOT),
                Kind::Minus => (Operator::Negate, NEGATE),
                _ => return,
            };
            let span = self.token.span;
            self.operators.waiting.push(Waiting { operator, strength, span });
            self.bump();
        }
    }

    /// `operand ? path`, which binds tighter than all but a minus before the operand.
    fn has_attr(&mut self, operand: Piece, base: usize) -> Parsed<Piece> {
        let mut operand = operand;
        while let Some(minus) = self.operators.waiting.get(base..).and_then(<[_]>::last) {
            if minus.operator != Operator::Negate {
                break;
            }
            let span = minus.span.to(operand.span);
            self.operators.waiting.pop();
            operand = self.piece(Node::Negate(operand.id), span);
        }
        self.bump();
        let path = self.attr_path()?;
        let span = operand.span.to(Span::new(self.previous_end, self.previous_end));
        if self.at(Kind::Question) {
            let error = SyntaxError::new("'?' cannot be chained", self.token.span)
                .help("put the first test in parentheses, or test a path: a ? b.c");
            return Err(self.fail(error));
        }
        Ok(self.piece(Node::HasAttr(operand.id, path), span))
    }

    /// Builds the waiting operators above `base` that bind at least this tightly.
    fn reduce(&mut self, base: usize, strength: u8) {
        while let Some(&top) = self.operators.waiting.get(base..).and_then(<[_]>::last) {
            if top.strength < strength {
                return;
            }
            self.operators.waiting.pop();
            let right = self.operators.operands.pop().expect("each operator has its right operand");
            let piece = match top.operator {
                Operator::Not => self.piece(Node::Not(right.id), top.span.to(right.span)),
                Operator::Negate => self.piece(Node::Negate(right.id), top.span.to(right.span)),
                Operator::Binary(operator) => {
                    let left = self.operators.operands.pop().expect("each binary operator has its left operand");
                    self.piece(Node::Binary(operator, left.id, right.id), left.span.to(right.span))
                }
            };
            self.operators.operands.push(piece);
        }
    }

    /// Refuses `a == b == c`, and the two pipes in one chain.
    fn check_chain(&mut self, base: usize, operator: BinaryOp, strength: u8, side: Side) -> Parsed<()> {
        let Some(&top) = self.operators.waiting.get(base..).and_then(<[_]>::last) else {
            return Ok(());
        };
        let mixed = strength == 0 && top.operator != Operator::Binary(operator);
        if top.strength != strength || !(side == Side::Neither || mixed) {
            return Ok(());
        }
        let what = if strength == 0 { "'<|' and '|>' cannot be mixed" } else { "comparisons cannot be chained" };
        let error = SyntaxError::new(what, self.token.span)
            .label(top.span, "the first one")
            .help("say with parentheses which one is meant first");
        Err(self.fail(error))
    }

    fn require_pipes(&mut self, operator: BinaryOp) -> Parsed<()> {
        let pipe = matches!(operator, BinaryOp::PipeFrom | BinaryOp::PipeInto);
        if !pipe || self.options.pipe_operators {
            return Ok(());
        }
        let error = SyntaxError::new("pipe operators are an experimental feature that is not enabled", self.token.span)
            .help("enable it with --extra-experimental-features pipe-operators");
        Err(self.fail(error))
    }
}
