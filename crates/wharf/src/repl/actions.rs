//! What is done for each command.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use eval::print::{PrintOptions, print};
use eval::{Interp, Kind, Origin, Symbol, Value};
use project::{Derived, Error, instantiable};

use super::command::{Command, HELP};
use super::scope::Scope;
use super::{Ending, Loaded, Session, documentation};

/// A command being done.
pub(super) struct Action<'a, 's> {
    pub(super) session: &'a mut Session<'s>,
    pub(super) interp: &'a Interp,
    pub(super) scope: Rc<RefCell<Scope>>,
}

impl Action<'_, '_> {
    /// Does work that Ctrl-C stops.
    pub(super) fn stoppable<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let interp = self.interp;
        match self.session.interrupts.take() {
            Some(interrupts) => {
                let done = interrupts.stopping(interp, || work(self));
                self.session.interrupts = Some(interrupts);
                done
            }
            None => work(self),
        }
    }

    /// Does what a line asks for. Some commands end the evaluation.
    pub(super) fn answer(&mut self, line: &str) -> Result<Option<Ending>, Error> {
        match Command::parse(line) {
            Command::Nothing => {}
            Command::Print(text) => {
                let value = self.value(text)?;
                self.print(value, PrintOptions { max_depth: 1, ..PrintOptions::RESULT })?;
            }
            Command::Bind(name, text) => self.bind(name, text)?,
            Command::Help => println!("{HELP}"),
            Command::Quit => return Ok(Some(Ending::Quit)),
            Command::Add(text) => {
                let value = self.value(text)?;
                self.add(value)?;
            }
            Command::Load(path) => return Ok(Some(Ending::Again(Some(Loaded::File(path.to_owned()))))),
            Command::LoadFlake(reference) => self.load(&Loaded::Flake(reference.to_owned()))?,
            Command::LastLoaded => println!("{}", self.session.last_loaded.join("\n")),
            Command::Reload => {
                self.scope.take();
                return Ok(Some(Ending::Again(None)));
            }
            Command::Type(text) => {
                let value = self.value(text)?;
                println!("{}", describe(value));
            }
            Command::PrintAll(text) => self.print_all(text)?,
            Command::Build(text) => self.build(text, false)?,
            Command::BuildAndLink(text) => self.build(text, true)?,
            Command::Edit(text) => {
                self.edit(text)?;
                self.scope.take();
                return Ok(Some(Ending::Again(None)));
            }
            Command::Document(text) => {
                let value = self.value(text)?;
                println!("{}", documentation::of(value).ok_or_else(|| other("there is no documentation of this"))?);
            }
            Command::Log(text) => self.log(text)?,
            Command::Trace(wanted) => {
                self.session.show_trace = wanted.unwrap_or(!self.session.show_trace);
                println!("{}", if self.session.show_trace { "showing every step" } else { "not showing every step" });
            }
            Command::Unknown(name) => {
                return Err(Error::Target {
                    message: format!("unknown command ':{name}'"),
                    help: ":? lists the commands".to_owned(),
                });
            }
        }
        Ok(None)
    }

    fn origin() -> Origin {
        Origin::Text("«repl»".to_owned())
    }

    fn value(&self, text: &str) -> Result<Value, Error> {
        let scope = self.scope.borrow();
        let text = text.as_bytes().to_vec();
        let value = self.interp.eval_source(Self::origin(), text, &self.session.here, scope.names())?;
        Ok(self.interp.force(value)?)
    }

    fn print(&self, value: Value, options: PrintOptions) -> Result<(), Error> {
        let options = PrintOptions { color: self.session.settings.color_stdout, ..options };
        println!("{}", String::from_utf8_lossy(&print(value, Some(self.interp), options)?));
        Ok(())
    }

    fn print_all(&self, text: &str) -> Result<(), Error> {
        let value = self.value(text)?;
        match value.kind() {
            Kind::String(string) => println!("{}", string.text()),
            _ => self.print(value, PrintOptions::RESULT)?,
        }
        Ok(())
    }

    /// A name's value is computed when it is needed.
    fn bind(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let text = text.as_bytes().to_vec();
        let value = {
            let scope = self.scope.borrow();
            self.interp.defer_source(Self::origin(), text, &self.session.here, scope.names())?
        };
        self.scope.borrow_mut().set(Symbol::intern(name), value);
        Ok(())
    }

    /// Adds the attributes of a set to the names.
    fn add(&mut self, value: Value) -> Result<(), Error> {
        let attrs = self.interp.force_attrs(value)?;
        let mut scope = self.scope.borrow_mut();
        let mut names = Vec::with_capacity(attrs.len());
        for attr in attrs.by_name() {
            scope.set(attr.name, attr.value);
            names.push(attr.name.text().into_owned());
        }
        println!("Added {} variables.", names.len());
        self.session.last_loaded = names;
        Ok(())
    }

    /// Adds what a file, a flake or a target has, and remembers it for `:reload`.
    pub(super) fn load(&mut self, loaded: &Loaded) -> Result<(), Error> {
        self.session.loaded.push(loaded.clone());
        let project = self.session.project;
        let value = match loaded {
            Loaded::Target(target) => project.target_value(self.interp, target)?,
            Loaded::Flake(reference) => project.flake_value(self.interp, reference)?,
            Loaded::File(path) => {
                let value = if path.starts_with('<') {
                    self.value(&format!("import {path}"))?
                } else {
                    self.interp.eval_file(&self.file(path)?)?
                };
                self.interp.auto_call(value, eval::Attrs::empty())?
            }
        };
        self.add(value)
    }

    fn file(&self, path: &str) -> Result<PathBuf, Error> {
        let path = self.session.here.join(path);
        path.canonicalize().map_err(|source| Error::Io { action: "find", path, source })
    }

    /// The derivation that an expression gives.
    fn derivation(&self, text: &str) -> Result<(Value, Derived), Error> {
        let value = self.value(text)?;
        let is_derivation = match value.kind() {
            Kind::Attrs(attrs) => self.interp.is_derivation(attrs)?,
            _ => false,
        };
        let found = if is_derivation { instantiable(self.interp, value, eval::Attrs::empty())?.pop() } else { None };
        let found = found.ok_or_else(|| Error::Kind {
            what: "the value".to_owned(),
            found: value.describe().to_owned(),
            wanted: "a derivation is needed here",
        })?;
        Ok((value, found))
    }

    fn build(&self, text: &str, link: bool) -> Result<(), Error> {
        let (value, main) = self.derivation(text)?;
        let outputs = self.outputs(value, main)?;
        let project = self.session.project;
        let paths = project.realise(&outputs)?;
        println!("\nThis derivation produced the following outputs:");
        for (one, path) in outputs.iter().zip(&paths) {
            if link {
                let name = format!("repl-result-{}", one.output);
                store::Store::add_root(&**project.store()?, &self.session.here.join(&name), path)?;
                println!("  ./{name} -> {}", path.to_absolute());
            } else {
                println!("  {} -> {}", one.output, path.to_absolute());
            }
        }
        Ok(())
    }

    /// All outputs of a derivation: its attribute `outputs` names them.
    fn outputs(&self, value: Value, main: Derived) -> Result<Vec<Derived>, Error> {
        let attrs = self.interp.force_attrs(value)?;
        let Some(names) = attrs.get(Symbol::intern("outputs")) else { return Ok(vec![main]) };
        let mut outputs = Vec::new();
        for name in self.interp.force_list(names)?.items() {
            let name = Symbol::intern(self.interp.force_text(*name)?);
            let Some(output) = attrs.get(name) else { continue };
            outputs.extend(instantiable(self.interp, output, eval::Attrs::empty())?);
        }
        Ok(if outputs.is_empty() { vec![main] } else { outputs })
    }

    fn log(&self, text: &str) -> Result<(), Error> {
        let (_, derived) = self.derivation(text)?;
        crate::commands::log::print_log(&derived.derivation, self.session.settings)
            .map(drop)
            .map_err(|failure| other(failure.message()))
    }

    /// Opens the file of a function, a path or a package in the user's editor.
    fn edit(&self, text: &str) -> Result<(), Error> {
        let value = self.value(text)?;
        let (file, line) =
            documentation::place(self.interp, value)?.ok_or_else(|| other("it is not known where this is written"))?;
        let editor = crate::environment::text("EDITOR").unwrap_or_else(|| "vi".to_owned());
        let mut words = editor.split_whitespace();
        let status = std::process::Command::new(words.next().unwrap_or("vi"))
            .args(words)
            .arg(format!("+{line}"))
            .arg(&file)
            .status();
        match status {
            Ok(_) => Ok(()),
            Err(error) => Err(other(&format!("cannot start the editor '{editor}': {error}"))),
        }
    }
}

/// What a value is, as a noun with its article.
fn describe(value: Value) -> String {
    match value.kind() {
        Kind::Builtin(builtin) => format!("the built-in function '{}'", builtin.name),
        Kind::String(string) if string.context().is_some() => "a string with context".to_owned(),
        _ => value.describe().to_owned(),
    }
}

fn other(message: &str) -> Error {
    eval::Error::other(message).into()
}
