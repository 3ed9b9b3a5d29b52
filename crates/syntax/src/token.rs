//! The tokens of the language outside strings and paths.

use crate::ast::Span;

/// A token and where it is. Its bytes are the source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    End,
    Ident,
    Int,
    Float,
    /// The first piece of a path; the rest, up to its end, is read by the parser.
    Path,
    /// The same of a path that begins with `~`.
    HomePath,
    SearchPath,
    Uri,
    /// `"`
    Quote,
    /// `''` with the spaces and the line end that follow it.
    IndentedQuote,
    /// `${`
    Dollar,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    Assign,
    Semicolon,
    Colon,
    Comma,
    Dot,
    At,
    Question,
    Ellipsis,
    If,
    Then,
    Else,
    Assert,
    With,
    Let,
    In,
    Rec,
    Inherit,
    OrKeyword,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Implies,
    Not,
    Plus,
    Minus,
    Star,
    Slash,
    Update,
    Concat,
    PipeFrom,
    PipeInto,
    /// A comment that is not closed; the span is its opening.
    OpenComment,
    /// A byte that begins nothing.
    Unknown,
}

impl Kind {
    /// The keyword a word is, if it is one.
    pub(crate) fn keyword(word: &[u8]) -> Option<Kind> {
        Some(match word {
            b"if" => Kind::If,
            b"then" => Kind::Then,
            b"else" => Kind::Else,
            b"assert" => Kind::Assert,
            b"with" => Kind::With,
            b"let" => Kind::Let,
            b"in" => Kind::In,
            b"rec" => Kind::Rec,
            b"inherit" => Kind::Inherit,
            b"or" => Kind::OrKeyword,
            _ => return None,
        })
    }

    /// Whether an operand ([`crate::parser`]'s "simple expression") begins with it.
    pub(crate) fn begins_operand(self) -> bool {
        matches!(
            self,
            Kind::Ident
                | Kind::Int
                | Kind::Float
                | Kind::Path
                | Kind::HomePath
                | Kind::SearchPath
                | Kind::Uri
                | Kind::Quote
                | Kind::IndentedQuote
                | Kind::LeftBrace
                | Kind::LeftBracket
                | Kind::LeftParen
                | Kind::Rec
        )
    }

    /// How a message names a token whose bytes say nothing by themselves.
    pub(crate) fn noun(self) -> Option<&'static str> {
        Some(match self {
            Kind::End => "the end of the text",
            Kind::Int => "an integer",
            Kind::Float => "a floating-point number",
            Kind::Path | Kind::HomePath => "a path",
            Kind::SearchPath => "a search path",
            Kind::Uri => "a URI",
            Kind::Quote => "a string",
            Kind::IndentedQuote => "an indented string",
            _ => return None,
        })
    }
}
