//! `wharf repl`: expressions typed one after the other, with names that stay.
//!
//! A [`Session`] holds the names and what was loaded. It runs inside of an evaluation; to read changed files again it
//! leaves that and begins another, which the names survive, as values belong to the process.

mod actions;
mod builtin_texts;
mod command;
mod complete;
mod documentation;
mod input;
mod interrupt;
mod scope;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use eval::Interp;
use eval::report::{ReportOptions, report};
use project::{Error, Project, Target};

use crate::failure::Failure;
use crate::settings::Settings;
use actions::Action;
use input::{Input, Reader};
use interrupt::Interrupts;
use scope::Scope;

/// Something whose attributes were added to the scope, to be read again when it has changed.
#[derive(Clone, Debug)]
enum Loaded {
    /// What the command line names.
    Target(Target),
    /// `:load`
    File(String),
    /// `:load-flake`
    Flake(String),
}

/// How a run inside of one evaluation ends.
enum Ending {
    Quit,
    /// Files are to be read again; then this is to be loaded too.
    Again(Option<Loaded>),
}

/// What outlives an evaluation.
struct Session<'a> {
    project: &'a Project,
    settings: &'a Settings,
    here: PathBuf,
    scope: Scope,
    loaded: Vec<Loaded>,
    /// The names that the last load added.
    last_loaded: Vec<String>,
    show_trace: bool,
    /// Lines from a pipe end with the first interrupt, as other programs do.
    interrupts: Option<Interrupts>,
}

/// Reads and answers until the input ends.
pub(crate) fn run(
    project: &Project,
    target: Option<Target>,
    here: PathBuf,
    settings: &Settings,
) -> Result<i32, Failure> {
    let reader = Reader::new(settings);
    if reader.is_terminal() {
        println!("Wharf {}. Type :? for help.\n", env!("CARGO_PKG_VERSION"));
    }
    let mut session = Session {
        project,
        settings,
        here,
        scope: Scope::default(),
        loaded: target.map(Loaded::Target).into_iter().collect(),
        last_loaded: Vec::new(),
        show_trace: settings.show_trace,
        interrupts: reader.is_terminal().then(Interrupts::catch).transpose()?,
    };
    let mut reader = reader;
    loop {
        match project.interpret(|interp| Ok(session.talk(interp, &mut reader)))? {
            Ending::Quit => return Ok(0),
            Ending::Again(more) => session.loaded.extend(more),
        }
    }
}

impl Session<'_> {
    /// Loads what is to be loaded, then answers line after line.
    fn talk(&mut self, interp: &Interp, reader: &mut Reader) -> Ending {
        let scope = Rc::new(RefCell::new(std::mem::take(&mut self.scope)));
        let here = self.here.clone();
        let mut action = Action { session: self, interp, scope: Rc::clone(&scope) };
        for loaded in std::mem::take(&mut action.session.loaded) {
            match action.stoppable(|action| action.load(&loaded)) {
                Ok(()) => {}
                Err(error) => action.session.complain(&error),
            }
        }
        let mut input = reader.begin(interp, Rc::clone(&scope), &here);
        let ending = loop {
            let line = match input.read() {
                Input::Line(line) => line,
                Input::Interrupted => continue,
                Input::End => break Ending::Quit,
            };
            match action.stoppable(|action| action.answer(&line)) {
                Ok(None) => {}
                Ok(Some(ending)) => break ending,
                Err(error) => action.session.complain(&error),
            }
            if !line.trim().is_empty() {
                println!();
            }
        };
        drop(input);
        self.scope = scope.take();
        ending
    }

    fn complain(&self, error: &Error) {
        let color = self.settings.color_stderr;
        match error {
            Error::Eval { error, help } => {
                let options = ReportOptions { color, show_trace: self.show_trace, ..ReportOptions::default() };
                eprintln!("{}", report(error, options));
                help.iter().for_each(|help| eprintln!("help: {help}"));
            }
            Error::Target { message, help } => eprint!("{}", Failure::new(message).help(help).render(color, false)),
            other => eprint!("{}", Failure::new(other.to_string()).render(color, false)),
        }
    }
}
