//! What is wrong with a text, in words and places.

use crate::ast::Span;

/// An error of the text. It knows offsets only; who shows it adds the file's name, line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// One sentence without a final stop: what was expected and what was found.
    pub message: String,
    /// The place to point at.
    pub span: Span,
    /// Other places that explain it ("opened here"), each with its words.
    pub labels: Vec<(Span, String)>,
    /// What to write instead, where that can be said.
    pub help: Option<String>,
}

impl SyntaxError {
    /// An error at one place.
    pub fn new(message: impl Into<String>, span: Span) -> Self {
        SyntaxError { message: message.into(), span, labels: Vec::new(), help: None }
    }

    /// The same with another place that explains it.
    pub fn label(mut self, span: Span, words: impl Into<String>) -> Self {
        self.labels.push((span, words.into()));
        self
    }

    /// The same with advice.
    pub fn help(mut self, words: impl Into<String>) -> Self {
        self.help = Some(words.into());
        self
    }
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}
