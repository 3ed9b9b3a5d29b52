//! Why an evaluation failed.

use crate::host::HostError;
use crate::position::{Pos, Source};
use crate::symbol::Symbol;

/// What every evaluating function returns. The error is boxed: success pays one word for it.
pub type Result<T> = std::result::Result<T, Box<Error>>;

/// A failed evaluation.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of failure, by what a caller can do about it.
    pub kind: ErrorKind,
    /// One sentence without a final stop.
    pub message: String,
    /// Where it happened; [`Pos::NONE`] as long as nobody on the way out knows.
    pub pos: Pos,
    /// What was being done, innermost first.
    pub trace: Vec<Frame>,
}

/// Kinds of failure.
#[derive(Clone, Debug)]
pub enum ErrorKind {
    /// `throw`; `tryEval` catches it.
    Throw,
    /// A failed `assert`; `tryEval` catches it.
    Assert,
    /// `abort`
    Abort,
    /// A value of another type than needed.
    Type,
    /// A set without the wanted attribute.
    MissingAttr {
        /// The wanted name.
        name: Symbol,
        /// The names that the set has.
        candidates: Vec<Symbol>,
    },
    /// A variable that no scope has.
    UndefinedVariable {
        /// Its name.
        name: Symbol,
        /// The names in scope.
        candidates: Vec<Symbol>,
    },
    /// A function called with an argument it does not know, or without one it needs.
    WrongArgument {
        /// The argument's name.
        name: Symbol,
        /// The names that the function takes.
        candidates: Vec<Symbol>,
        /// Where the function is defined.
        definition: Pos,
    },
    /// A value that needs itself.
    InfiniteRecursion(Cycle),
    /// Calls nested too deeply, or no stack left. Not remembered by thunks: from elsewhere it may work.
    StackTooDeep,
    /// Somebody stopped the evaluation. Not remembered by thunks either.
    Interrupted,
    /// Text that does not parse.
    Syntax {
        /// All its errors.
        errors: Vec<syntax::SyntaxError>,
        /// The text; `None` for text that is not Nix.
        source: Option<SourceRef>,
    },
    /// The host could not do what was asked.
    Host,
    /// Anything else that is wrong with the program.
    Other,
}

/// Values that need each other in a circle.
#[derive(Clone, Debug, Default)]
pub struct Cycle {
    /// Where they are written. Each needs the one before it, and the first needs the last.
    pub values: Vec<Pos>,
    /// The address of the thunk at which the circle closes, as long as it is not whole.
    pub(crate) open_at: Option<usize>,
}

/// A source, comparable and printable by its name.
#[derive(Clone, Copy)]
pub struct SourceRef(pub &'static Source);

impl std::fmt::Debug for SourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.display_name())
    }
}

/// One step of what was being done.
#[derive(Clone, Debug)]
pub struct Frame {
    /// As "while evaluating the attribute 'x'".
    pub message: String,
    /// Where.
    pub pos: Pos,
    /// Whether the program itself asked for it (`addErrorContext`): always shown.
    pub by_user: bool,
}

impl Error {
    /// An error without a place.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Box<Error> {
        Box::new(Error { kind, message: message.into(), pos: Pos::NONE, trace: Vec::new() })
    }

    /// A type error.
    #[cold]
    pub fn type_error(message: impl Into<String>) -> Box<Error> {
        Error::new(ErrorKind::Type, message)
    }

    /// An error of the kind [`ErrorKind::Other`].
    #[cold]
    pub fn other(message: impl Into<String>) -> Box<Error> {
        Error::new(ErrorKind::Other, message)
    }

    /// The same at a place, unless it has one already.
    #[cold]
    pub fn at(mut self: Box<Self>, pos: Pos) -> Box<Error> {
        if self.pos == Pos::NONE {
            self.pos = pos;
        }
        self
    }

    /// The same with one more step around it.
    #[cold]
    pub fn within(mut self: Box<Self>, message: impl Into<String>, pos: Pos) -> Box<Error> {
        // A runaway recursion would otherwise collect one frame for each of its calls.
        if self.trace.len() < MAX_FRAMES {
            self.trace.push(Frame { message: message.into(), pos, by_user: false });
        }
        self
    }

    /// Whether `builtins.tryEval` catches it.
    pub fn is_catchable(&self) -> bool {
        matches!(self.kind, ErrorKind::Throw | ErrorKind::Assert)
    }
}

const MAX_FRAMES: usize = 500;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some((source, start)) = self.pos.start() {
            write!(f, ", at {}:{}:{}", source.display_name(), start.line, start.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<HostError> for Box<Error> {
    fn from(error: HostError) -> Box<Error> {
        match error {
            HostError::Callback(error) => error,
            other => Error::new(ErrorKind::Host, other.to_string()),
        }
    }
}
