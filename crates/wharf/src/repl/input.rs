//! Lines from a terminal, with editing, completion and history, or from a pipe.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use eval::Interp;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::command::is_incomplete;
use super::complete::complete;
use super::scope::Scope;
use crate::settings::Settings;

const PROMPT: &str = "wharf> ";
/// How many lines are remembered.
const HISTORY: usize = 10_000;

/// Where lines come from.
pub(super) struct Reader {
    is_terminal: bool,
    color: bool,
    history: PathBuf,
}

/// What was read.
pub(super) enum Input {
    Line(String),
    /// Ctrl-C: the line is given up.
    Interrupted,
    End,
}

/// Reads lines within one evaluation, of which completion makes use.
pub(super) enum Lines<'a> {
    Terminal(Box<Editor<Helpful<'a>, FileHistory>>, PathBuf),
    Pipe,
}

impl Reader {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            is_terminal: std::io::stdin().is_terminal(),
            color: settings.color_stdout,
            history: settings.data.join("repl-history"),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(super) fn begin<'a>(&self, interp: &'a Interp, scope: Rc<RefCell<Scope>>, here: &'a Path) -> Lines<'a> {
        if !self.is_terminal {
            return Lines::Pipe;
        }
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true);
        let config = config.max_history_size(HISTORY).map(|config| config.build()).unwrap_or_default();
        let Ok(mut editor) = Editor::with_config(config) else { return Lines::Pipe };
        editor.set_helper(Some(Helpful { interp, scope, here, color: self.color }));
        // Without a history the session is as good.
        let _ = editor.load_history(&self.history);
        Lines::Terminal(Box::new(editor), self.history.clone())
    }
}

impl Lines<'_> {
    /// The next input, several lines where an expression goes on.
    pub(super) fn read(&mut self) -> Input {
        match self {
            Lines::Terminal(editor, history) => match editor.readline(PROMPT) {
                Ok(line) => {
                    remember(editor, history);
                    Input::Line(line)
                }
                Err(ReadlineError::Interrupted) => Input::Interrupted,
                Err(_) => Input::End,
            },
            Lines::Pipe => read_from_pipe(),
        }
    }
}

/// Each line is written at once: a session may end in many ways.
fn remember(editor: &mut Editor<Helpful<'_>, FileHistory>, file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    let _ = editor.append_history(file);
}

fn read_from_pipe() -> Input {
    let mut text = String::new();
    loop {
        match std::io::stdin().lock().read_line(&mut text) {
            Ok(0) | Err(_) if text.is_empty() => return Input::End,
            Ok(0) | Err(_) => return Input::Line(text),
            Ok(_) if is_incomplete(&text) => {}
            Ok(_) => return Input::Line(text),
        }
    }
}

/// What the editor asks while a line is typed.
pub(super) struct Helpful<'a> {
    interp: &'a Interp,
    scope: Rc<RefCell<Scope>>,
    here: &'a Path,
    color: bool,
}

impl Completer for Helpful<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(self.interp, self.scope.borrow().names(), self.here, &line[..pos]))
    }
}

impl Validator for Helpful<'_> {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_incomplete(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Highlighter for Helpful<'_> {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        match self.color {
            true => Cow::Owned(format!("\x1b[1;32m{prompt}\x1b[0m")),
            false => Cow::Borrowed(prompt),
        }
    }
}

impl Hinter for Helpful<'_> {
    type Hint = String;
}

impl Helper for Helpful<'_> {}
