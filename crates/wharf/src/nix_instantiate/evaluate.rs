//! What `nix-instantiate` does with expressions.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use eval::print::plain;
use eval::xml::XmlOptions;
use eval::{Attrs, AttrsBuilder, Interp, Origin, SearchPathEntry, StrBuilder, Symbol, Value, json, xml};
use project::{Argument, Derived, Error, Project, instantiable};
use store::daemon::DaemonOptions;
use store::progress::Progress;

use super::arguments::{Mode, Output, Request};
use crate::daemon;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::target;

/// An expression: where it comes from, its text, and the directory to which its paths are relative.
struct Expression {
    origin: Origin,
    text: Vec<u8>,
    directory: PathBuf,
}

/// Does what is asked, and gives what is to be printed.
pub(super) fn perform(request: &Request, settings: &Settings, progress: Arc<dyn Progress>) -> Result<Vec<u8>, Failure> {
    let mut options = target::options(settings, &request.nix, &request.build, progress)?;
    let includes = request.includes.iter().map(|entry| target::search_path_entry(entry));
    if settings.environment.nix_path.is_none() && options.evaluation.search_path.is_empty() {
        options.evaluation.search_path = channels(settings);
    }
    options.evaluation.search_path.splice(0..0, includes);
    options.write = request.writes();
    // Every derivation is the one that Nix makes.
    options.nixpkgs_docker_tools = true;
    options.fetching.offline = request.offline;
    if let Some(store) = &request.store {
        match store.to_str().map(daemon::address).transpose()?.flatten() {
            _ if store == "auto" => {}
            None if store == "own" => options.daemon = None,
            Some(address) => {
                options.daemon = Some(project::Daemon { address, options: DaemonOptions::default() });
            }
            None => {
                options.daemon = None;
                options.data = std::path::absolute(store).map_err(|error| Failure::io("resolve", store, error))?;
            }
        }
    }
    let work = Work { request, here: options.directory.clone(), writes: options.write };
    let project = Project::new(options);
    let printed = match request.mode {
        Mode::FindFile => work.find_files(&project),
        Mode::Parse => work.parse(&project),
        Mode::Evaluate => work.print_values(&project),
        Mode::Instantiate => work.instantiate(&project),
    }?;
    super::statistics::show(&project)?;
    Ok(printed)
}

/// The search path where nobody says any: the channels that this user or root has.
fn channels(settings: &Settings) -> Vec<SearchPathEntry> {
    let root = Path::new("/nix/var/nix/profiles/per-user/root/channels");
    let own = settings.environment.home.as_ref().map(|home| ("", home.join(".nix-defexpr/channels")));
    own.into_iter()
        .chain([("nixpkgs", root.join("nixpkgs")), ("", root.to_owned())])
        .filter(|(_, path)| path.exists())
        .map(|(prefix, path)| SearchPathEntry { prefix: prefix.to_owned(), path: path.display().to_string() })
        .collect()
}

struct Work<'a> {
    request: &'a Request,
    here: PathBuf,
    writes: bool,
}

impl Work<'_> {
    fn find_files(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        project.interpret(|interp| {
            for name in &self.request.operands {
                let found = self.eval_text(interp, "«find file»", &find_file(name))?;
                let path = interp.physical_path(found)?;
                out.extend_from_slice(path.as_os_str().as_bytes());
                out.push(b'\n');
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Prints the trees, after a check that all variables are defined.
    fn parse(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        project.interpret(|interp| {
            for expression in self.expressions(interp)? {
                let Expression { origin, text, directory } = expression;
                interp.check(origin, text.clone(), &directory)?;
                let settings = interp.settings();
                let options = syntax::Options { pipe_operators: settings.pipe_operators, lints: settings.lints };
                let parse = syntax::parse(&text, options);
                let base = directory.to_string_lossy();
                let home = settings.home.as_deref().unwrap_or(Path::new("/")).to_string_lossy();
                let paths = syntax::PrintPaths { base: &base, home: &home };
                out.extend(syntax::print(&parse.ast, parse.root, paths));
                out.push(b'\n');
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn print_values(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let mut out = StrBuilder::default();
        project.interpret(|interp| {
            let args = self.arguments(interp)?;
            self.selected(interp, args, &mut |value| {
                // Without arguments a function is a value like others.
                let value = if args.is_empty() { value } else { interp.auto_call(value, args)? };
                Ok(self.print(interp, value, &mut out)?)
            })
        })?;
        Ok(out.bytes)
    }

    fn print(&self, interp: &Interp, value: Value, out: &mut StrBuilder) -> eval::Result<()> {
        match self.request.output {
            Output::Raw => out.push(interp.coerce_to_string(value, eval::Coercion::STRING)?),
            Output::Xml => {
                let options = XmlOptions { strict: self.request.strict, location: !self.request.no_location };
                xml::write(interp, value, options, out)?;
            }
            Output::Json => {
                json::write(interp, value, json::Paths::CopyToStore, out)?;
                out.bytes.push(b'\n');
            }
            Output::Plain => {
                let value = if self.request.strict { interp.force_deep(value)? } else { value };
                plain(value, self.request.strict, interp.settings().max_call_depth, &mut out.bytes)?;
                out.bytes.push(b'\n');
            }
        }
        Ok(())
    }

    fn instantiate(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let mut found: Vec<Derived> = Vec::new();
        project.interpret(|interp| {
            let args = self.arguments(interp)?;
            self.selected(interp, args, &mut |value| {
                found.extend(instantiable(interp, value, args)?);
                Ok(())
            })
        })?;
        if self.writes {
            project.instantiate(&found)?;
        }
        let mut out = String::new();
        for (index, one) in found.iter().enumerate() {
            out.push_str(&self.name(project, one, index)?);
            if one.output != "out" {
                out.push('!');
                out.push_str(&one.output);
            }
            out.push('\n');
        }
        if self.request.root.is_none() && self.writes && !found.is_empty() && !self.request.quiet {
            eprintln!(
                "warning: you did not specify '--add-root'; the result might be removed by the garbage collector"
            );
        }
        Ok(out.into_bytes())
    }

    /// What is printed for a derivation: its path, or the link that keeps it.
    fn name(&self, project: &Project, one: &Derived, index: usize) -> Result<String, Failure> {
        let (Some(root), true) = (&self.request.root, self.writes) else { return Ok(one.derivation.to_absolute()) };
        let mut link = self.here.join(root).into_os_string();
        if index > 0 {
            link.push(format!("-{}", index + 1));
        }
        project.store()?.add_root(Path::new(&link), &one.derivation)?;
        Ok(link.to_string_lossy().into_owned())
    }

    /// Goes through the values that the operands and `--attr` name.
    fn selected(
        &self,
        interp: &Interp,
        args: &'static Attrs,
        each: &mut dyn FnMut(Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let whole = [String::new()];
        let attributes = if self.request.attributes.is_empty() { &whole[..] } else { &self.request.attributes };
        for Expression { origin, text, directory } in self.expressions(interp)? {
            // A file is evaluated as `import` would, so that one that imports itself is read once.
            let value = match origin {
                Origin::File(file) => interp.eval_file(&file)?,
                origin => interp.eval_source(origin, text, &directory, &[])?,
            };
            for path in attributes {
                each(interp.select_path(value, path, args)?)?;
            }
        }
        Ok(())
    }

    fn expressions(&self, interp: &Interp) -> Result<Vec<Expression>, Error> {
        let mut expressions = Vec::new();
        if self.request.from_stdin {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map_err(|error| other(format!("cannot read stdin: {error}")))?;
            expressions.push(self.typed("«stdin»", text));
        }
        let default = ["./default.nix".to_owned()];
        let operands = match (&self.request.operands[..], self.request.from_stdin || self.request.are_expressions) {
            ([], false) => &default[..],
            (operands, _) => operands,
        };
        for operand in operands {
            expressions.push(match self.request.are_expressions {
                true => self.typed("«string»", operand.clone().into_bytes()),
                false => self.file(interp, operand)?,
            });
        }
        Ok(expressions)
    }

    fn typed(&self, name: &str, text: Vec<u8>) -> Expression {
        Expression { origin: Origin::Text(name.to_owned()), text, directory: self.here.clone() }
    }

    /// The expression that an operand names: a file, a directory, `<name>`, or an archive's address.
    fn file(&self, interp: &Interp, operand: &str) -> Result<Expression, Error> {
        let name = operand.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        let path = match name {
            Some(name) => self.path_of(interp, &find_file(name))?,
            None if operand.starts_with("http://") || operand.starts_with("https://") => {
                self.path_of(interp, &format!("builtins.fetchTarball {}", quoted(operand)))?
            }
            None => match operand.strip_prefix("channel:") {
                Some(channel) => {
                    let address = format!("https://nixos.org/channels/{channel}/nixexprs.tar.xz");
                    self.path_of(interp, &format!("builtins.fetchTarball {}", quoted(&address)))?
                }
                None => self.here.join(operand),
            },
        };
        let file = interp.resolve_import(&normal(&path))?;
        let text = match self.request.mode {
            Mode::Parse => interp.host().read_file(&file).map_err(Box::<eval::Error>::from)?,
            _ => Vec::new(),
        };
        let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Expression { origin: Origin::File(file), text, directory })
    }

    fn path_of(&self, interp: &Interp, text: &str) -> Result<PathBuf, Error> {
        let found = self.eval_text(interp, "«operand»", text)?;
        Ok(PathBuf::from(&*interp.coerce_to_path(found)?.text()))
    }

    fn eval_text(&self, interp: &Interp, name: &str, text: &str) -> Result<Value, Error> {
        let value = interp.eval_source(Origin::Text(name.to_owned()), text.as_bytes().to_vec(), &self.here, &[])?;
        Ok(interp.force(value)?)
    }

    fn arguments(&self, interp: &Interp) -> Result<&'static Attrs, Error> {
        let mut args = AttrsBuilder::default();
        for (name, argument) in &self.request.arguments {
            let value = match argument {
                Argument::String(text) => Value::string(text),
                Argument::Expression(text) => self.eval_text(interp, &format!("«--arg {name}»"), text)?,
            };
            args.push(Symbol::intern(name), value);
        }
        Ok(args.finish())
    }
}

/// A path without `.` and `..`, links not looked at.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, component| {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
        clean
    })
}

fn find_file(name: &str) -> String {
    format!("builtins.findFile builtins.nixPath {}", quoted(name))
}

/// A text as a string of the language.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    syntax::print_string(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn other(message: String) -> Error {
    eval::Error::other(message).into()
}
