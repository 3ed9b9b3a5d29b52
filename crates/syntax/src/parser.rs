//! The parser: recursive descent for what nests, an operator stack for what does not.
//!
//! A parsing function either gives its result with the token after it current, or has recorded an error and gives
//! [`Stop`]. Recovery is at bindings only ([`bindings`]), where `;` says without doubt where to go on.

mod bindings;
mod expression;
mod function;
mod indentation;
mod operand;
mod operators;
mod path;
mod strings;

use rustc_hash::FxHashMap;

use crate::ast::{Ast, Name, Node, NodeId, Run, SetId, Span, Text};
use crate::error::SyntaxError;
use crate::lexer::Lexer;
use crate::token::{Kind, Token};
use crate::{Lint, MAX_DEPTH, Options, Parse};

/// How many errors are worth showing.
const MAX_ERRORS: usize = 20;

/// An error was recorded; what was being read cannot be finished.
#[derive(Debug)]
struct Stop;

type Parsed<T> = Result<T, Stop>;

/// A node with the place it takes, parentheses included.
#[derive(Clone, Copy)]
struct Piece {
    id: NodeId,
    span: Span,
}

struct Parser<'s> {
    source: &'s [u8],
    options: Options,
    lexer: Lexer<'s>,
    /// The current token.
    token: Token,
    /// The token after it, if it was looked at.
    peeked: Option<Token>,
    /// The end of the token before the current one.
    previous_end: u32,
    ast: Ast,
    /// Where the attributes of large sets are, by set and name.
    attr_index: FxHashMap<(SetId, Name), u32>,
    operators: operators::Stack,
    depth: u32,
    errors: Vec<SyntaxError>,
    warnings: Vec<SyntaxError>,
    /// Whether to give up at once: the rest of the text could only give misleading errors.
    fatal: bool,
}

/// Reads a whole text.
pub(crate) fn parse(source: &[u8], options: Options) -> Parse {
    if source.len() >= u32::MAX as usize {
        let error = SyntaxError::new("the text is larger than 4 GiB", Span::default());
        let ast = Ast { nodes: vec![Node::Error], spans: vec![Span::default()], ..Ast::default() };
        return Parse { ast, root: NodeId(0), errors: vec![error], warnings: Vec::new() };
    }
    let mut parser = Parser::new(source, options);
    let root = parser.whole();
    Parse { ast: parser.ast, root, errors: parser.errors, warnings: parser.warnings }
}

impl<'s> Parser<'s> {
    fn new(source: &'s [u8], options: Options) -> Self {
        let mut lexer = Lexer::new(source);
        let token = lexer.token(0);
        let mut ast = Ast::default();
        ast.nodes.reserve(source.len() / 8);
        ast.spans.reserve(source.len() / 8);
        Parser {
            source,
            options,
            lexer,
            token,
            peeked: None,
            previous_end: 0,
            ast,
            attr_index: FxHashMap::default(),
            operators: operators::Stack::default(),
            depth: 0,
            errors: Vec::new(),
            warnings: Vec::new(),
            fatal: false,
        }
    }

    fn whole(&mut self) -> NodeId {
        let root = match self.expression() {
            Ok(root) if self.token.kind == Kind::End => return root.id,
            Ok(root) => {
                self.unexpected_after_expression();
                root.id
            }
            Err(Stop) => self.node(Node::Error, self.token.span),
        };
        debug_assert!(!self.errors.is_empty());
        root
    }

    /// Reads the next token.
    fn bump(&mut self) {
        self.previous_end = self.token.span.end;
        self.token = match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.token(self.token.span.end as usize),
        };
    }

    /// The token after the current one.
    fn peek(&mut self) -> Token {
        let (lexer, end) = (&mut self.lexer, self.token.span.end as usize);
        *self.peeked.get_or_insert_with(|| lexer.token(end))
    }

    /// Goes on with the token at an offset, as after the end of a string.
    fn resume(&mut self, at: usize) {
        self.previous_end = at as u32;
        self.peeked = None;
        self.token = self.lexer.token(at);
    }

    fn at(&self, kind: Kind) -> bool {
        self.token.kind == kind
    }

    /// Takes the current token if it is of this kind.
    fn eat(&mut self, kind: Kind) -> bool {
        let found = self.at(kind);
        if found {
            self.bump();
        }
        found
    }

    /// Takes the bracket that closes the one at `open`.
    fn close(&mut self, kind: Kind, words: &str, open: Span) -> Parsed<Span> {
        let span = self.token.span;
        if self.eat(kind) {
            return Ok(span);
        }
        let error = self.expected(words).label(open, "opened here");
        Err(self.fail(error))
    }

    /// Runs `read` one level deeper, on more stack if this thread's is short.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            let message = format!("the expression nests deeper than {MAX_DEPTH} levels");
            self.fatal = true;
            return Err(self.fail(SyntaxError::new(message, self.token.span)));
        }
        self.depth += 1;
        let result = crate::with_stack(|| read(self));
        self.depth -= 1;
        result
    }

    fn node(&mut self, node: Node, span: Span) -> NodeId {
        let id = NodeId(self.ast.nodes.len() as u32);
        self.ast.nodes.push(node);
        self.ast.spans.push(span);
        id
    }

    fn piece(&mut self, node: Node, span: Span) -> Piece {
        Piece { id: self.node(node, span), span }
    }

    fn ids(&mut self, ids: &[NodeId]) -> Run {
        let start = self.ast.ids.len() as u32;
        self.ast.ids.extend_from_slice(ids);
        Run { start, len: ids.len() as u32 }
    }

    /// Copies bytes of the source to the tree's pool.
    fn source_text(&mut self, span: Span) -> Text {
        let start = self.ast.pool.len() as u32;
        self.ast.pool.extend_from_slice(&self.source[span.start as usize..span.end as usize]);
        Text { start, len: span.end - span.start }
    }

    /// The current token's bytes as a name.
    fn token_name(&mut self) -> Name {
        self.name_at(self.token.span)
    }

    /// The bytes of the source there as a name.
    fn name_at(&mut self, span: Span) -> Name {
        let bytes = &self.source[span.start as usize..span.end as usize];
        self.ast.names.intern(bytes, &mut self.ast.pool)
    }

    fn fail(&mut self, error: SyntaxError) -> Stop {
        self.errors.push(error);
        if self.errors.len() >= MAX_ERRORS {
            self.fatal = true;
        }
        Stop
    }

    /// Records what a lint found.
    fn lint(&mut self, lint: Lint, error: SyntaxError) {
        match lint {
            Lint::Ignore => {}
            Lint::Warn => self.warnings.push(error),
            Lint::Fatal => {
                self.fail(error);
            }
        }
    }

    fn unexpected(&mut self, words: &str) -> Stop {
        let error = self.expected(words);
        self.fail(error)
    }

    /// An error that says what was expected where the current token is.
    fn expected(&mut self, words: &str) -> SyntaxError {
        let token = self.token;
        match token.kind {
            Kind::OpenComment => {
                self.fatal = true;
                SyntaxError::new("the comment that begins here is not closed", token.span).help("close it with '*/'")
            }
            Kind::Unknown => self.unknown_byte(token.span),
            Kind::End => {
                self.fatal = true;
                SyntaxError::new(format!("expected {words}, found the end of the text"), token.span)
            }
            _ => SyntaxError::new(format!("expected {words}, found {}", self.describe(token)), token.span),
        }
    }

    fn unknown_byte(&self, span: Span) -> SyntaxError {
        let rest = &self.source[span.start as usize..];
        let first = rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        match first {
            Some('\0') => SyntaxError::new("a NUL byte cannot be part of an expression", span),
            Some(char) => {
                let whole = Span::new(span.start, span.start + char.len_utf8() as u32);
                let message = format!("the character '{}' begins nothing", char.escape_debug());
                SyntaxError::new(message, whole)
            }
            None => SyntaxError::new(format!("the byte 0x{:02x} is not UTF-8", rest[0]), span),
        }
    }

    /// How a message names a token.
    fn describe(&self, token: Token) -> String {
        if let Some(noun) = token.kind.noun() {
            return noun.to_owned();
        }
        let bytes = &self.source[token.span.start as usize..token.span.end as usize];
        let text = String::from_utf8_lossy(bytes);
        match token.kind {
            Kind::Ident => format!("the name '{text}'"),
            _ if Kind::keyword(bytes).is_some() => format!("the keyword '{text}'"),
            _ => format!("'{text}'"),
        }
    }
}
