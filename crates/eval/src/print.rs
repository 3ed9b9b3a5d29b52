//! Values in the syntax of the language, for people.
//!
//! Two forms: [`plain`], which `nix-instantiate --eval` prints, and [`Printer`], which everything newer prints, with
//! limits, indentation, and `«…»` around what is no expression.

use rustc_hash::FxHashSet;
use syntax::{print_name, print_string};

use crate::Interp;
use crate::embedded;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{Attr, Attrs, Kind, List, PartialApp, ThunkState, Value};
use crate::ir::Lambda;
use crate::symbol::Symbol;

/// A value on one line. What is not evaluated is `<CODE>`; a set or list that was printed already is `«repeated»`.
/// `max_depth` bounds how deeply values may nest. Functions in sets and lists are code too unless all is `strict`: C++ Nix
/// evaluates even those only when somebody asks for them.
pub fn plain(value: Value, strict: bool, max_depth: u32, out: &mut Vec<u8>) -> Result<()> {
    let mut seen = FxHashSet::default();
    Plain { seen: &mut seen, strict, max_depth, out }.value(value, max_depth)
}

struct Plain<'a> {
    seen: &'a mut FxHashSet<usize>,
    strict: bool,
    max_depth: u32,
    out: &'a mut Vec<u8>,
}

impl Plain<'_> {
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Whether a function that stands in a set or list itself, and not in a thunk that was evaluated, is shown as code.
    fn is_code(&self, value: Value, depth: u32) -> bool {
        !self.strict && !value.is_thunk() && depth + 1 < self.max_depth
    }

    fn value(&mut self, value: Value, depth: u32) -> Result<()> {
        let Some(resolved) = value.resolved() else {
            self.push(if is_running(value) { "«potential infinite recursion»" } else { "<CODE>" });
            return Ok(());
        };
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        match resolved.kind() {
            Kind::Attrs(attrs) if !attrs.is_empty() && !self.seen.insert(std::ptr::from_ref(attrs).addr()) => {
                self.push("«repeated»");
            }
            Kind::Attrs(attrs) => {
                self.push("{ ");
                for attr in attrs.by_name() {
                    print_name(attr.name.bytes(), self.out);
                    self.push(" = ");
                    self.value(attr.value, depth)?;
                    self.push("; ");
                }
                self.push("}");
            }
            Kind::List(list) if !list.is_empty() && !self.seen.insert(list_identity(value, list)) => {
                self.push("«repeated»");
            }
            Kind::List(list) => {
                self.push("[ ");
                for item in list.items() {
                    self.value(*item, depth)?;
                    self.push(" ");
                }
                self.push("]");
            }
            Kind::Lambda(_) if self.is_code(value, depth) => self.push("<CODE>"),
            Kind::Lambda(_) => self.push("<LAMBDA>"),
            Kind::Builtin(_) => self.push("<PRIMOP>"),
            Kind::Partial(partial) => self.push(if is_builtin(partial) { "<PRIMOP-APP>" } else { "<LAMBDA>" }),
            _ => scalar(resolved, self.out),
        }
        Ok(())
    }
}

/// What tells two occurrences of a list apart: the thunk it is the value of, if it is in one.
fn list_identity(value: Value, list: List) -> usize {
    match value.as_thunk() {
        Some(thunk) => std::ptr::from_ref(thunk).addr(),
        None => list.address(),
    }
}

fn is_running(value: Value) -> bool {
    value.as_thunk().is_some_and(|thunk| matches!(thunk.state(), ThunkState::Running))
}

fn is_builtin(partial: &PartialApp) -> bool {
    matches!(partial.function.kind(), Kind::Builtin(_))
}

fn too_deep() -> Box<Error> {
    Error::new(ErrorKind::StackTooDeep, "the value is nested too deeply to be printed; it may be infinite")
}

/// Prints what contains no other value; nothing for what does.
fn scalar(value: Value, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Kind::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Kind::Float(value) => out.extend_from_slice(syntax::float::general(value).as_bytes()),
        Kind::String(string) => print_string(string.bytes(), out),
        Kind::Path(path) => out.extend_from_slice(&embedded::shown(path.bytes())),
        Kind::List(_) | Kind::Attrs(_) | Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) | Kind::Thunk(_) => {}
    }
}

/// How much of a value to print, and how.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    /// Sets and lists nested deeper are `{ ... }` and `[ ... ]`.
    pub max_depth: usize,
    /// How many attributes to print in all.
    pub max_attrs: usize,
    /// How many list elements to print in all.
    pub max_items: usize,
    /// How many bytes of a string to print.
    pub max_string: usize,
    /// By how many spaces each level is indented; 0 prints all on one line.
    pub indent: usize,
    /// Whether a derivation is printed as its path. It is evaluated for that.
    pub derivation_paths: bool,
    /// Whether what fails inside a set or a list is printed as `«error: …»`. If not, or if the value itself fails, that
    /// is an error.
    pub errors: bool,
    /// Whether a function that a set or list holds as it is written is printed as `«thunk»`, since C++ Nix evaluates it
    /// when it is needed.
    pub functions_are_thunks: bool,
    /// Whether to use ANSI escapes.
    pub color: bool,
}

impl PrintOptions {
    /// Everything on one line, as `builtins.trace` prints it.
    pub const TRACE: PrintOptions = PrintOptions {
        max_depth: usize::MAX,
        max_attrs: usize::MAX,
        max_items: usize::MAX,
        max_string: usize::MAX,
        indent: 0,
        derivation_paths: false,
        errors: false,
        functions_are_thunks: true,
        color: false,
    };

    /// The beginning, for an error message.
    pub const MESSAGE: PrintOptions = PrintOptions {
        max_depth: 3,
        max_attrs: 5,
        max_items: 5,
        max_string: 60,
        functions_are_thunks: false,
        ..PrintOptions::TRACE
    };

    /// Everything, indented, as `nix repl` prints it; `nix eval` prints the same on one line.
    pub const RESULT: PrintOptions = PrintOptions {
        indent: 2,
        derivation_paths: true,
        errors: true,
        functions_are_thunks: false,
        ..PrintOptions::TRACE
    };
}

/// Prints a value. With an interpreter, everything that is printed is evaluated first, and what fails is an error;
/// without one, what is not evaluated is `«thunk»`.
pub fn print(value: Value, interp: Option<&Interp>, options: PrintOptions) -> Result<Vec<u8>> {
    let mut printer =
        Printer { interp, options, out: Vec::new(), seen: FxHashSet::default(), attrs: 0, items: 0, indent: 0 };
    printer.value(value, 0)?;
    Ok(printer.out)
}

struct Printer<'a> {
    interp: Option<&'a Interp>,
    options: PrintOptions,
    out: Vec<u8>,
    seen: FxHashSet<usize>,
    /// How many attributes are printed.
    attrs: usize,
    /// How many list elements are printed.
    items: usize,
    indent: usize,
}

impl Printer<'_> {
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Appends in a colour.
    fn painted(&mut self, escape: &str, text: &str) {
        self.begin(escape);
        self.push(text);
        self.end();
    }

    fn begin(&mut self, escape: &str) {
        if self.options.color {
            self.push(escape);
        }
    }

    fn end(&mut self) {
        self.begin(PLAIN);
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<()> {
        if depth > MAX_NESTING {
            return Err(too_deep());
        }
        let begin = self.out.len();
        match self.evaluated_value(value, depth) {
            Err(error) if self.options.errors && depth > 0 => {
                self.out.truncate(begin);
                self.painted(RED, &format!("«error: {}»", error.message.trim_end()));
                Ok(())
            }
            other => other,
        }
    }

    fn evaluated_value(&mut self, value: Value, depth: usize) -> Result<()> {
        let Some(resolved) = self.evaluated(value)? else {
            self.painted(MAGENTA, if is_running(value) { "«potential infinite recursion»" } else { "«thunk»" });
            return Ok(());
        };
        match resolved.kind() {
            Kind::Attrs(attrs) => self.set(attrs, depth)?,
            Kind::List(list) => self.list(value, list, depth)?,
            Kind::String(string) if string.bytes().len() > self.options.max_string => {
                let (shown, rest) = string.bytes().split_at(self.options.max_string);
                self.begin(MAGENTA);
                print_string(shown, &mut self.out);
                self.end();
                let count = rest.len();
                self.painted(FAINT, &format!(" «{count} byte{} elided»", if count == 1 { "" } else { "s" }));
            }
            Kind::Lambda(_) if self.options.functions_are_thunks && depth > 0 && !value.is_thunk() => {
                self.painted(MAGENTA, "«thunk»");
            }
            Kind::Lambda(_) | Kind::Builtin(_) | Kind::Partial(_) => {
                let text = describe_function(resolved);
                self.painted(BLUE, &text);
            }
            kind => {
                self.begin(match kind {
                    Kind::String(_) => MAGENTA,
                    Kind::Path(_) => GREEN,
                    _ => CYAN,
                });
                scalar(resolved, &mut self.out);
                self.end();
            }
        }
        Ok(())
    }

    fn evaluated(&self, value: Value) -> Result<Option<Value>> {
        match self.interp {
            Some(interp) => interp.force(value).map(Some),
            None => Ok(value.resolved()),
        }
    }

    fn space(&mut self, on_lines: bool) {
        if on_lines {
            self.push("\n");
            self.out.extend(std::iter::repeat_n(b' ', self.indent));
        } else {
            self.push(" ");
        }
    }

    fn set(&mut self, attrs: &'static Attrs, depth: usize) -> Result<()> {
        if !self.seen.insert(std::ptr::from_ref(attrs).addr()) {
            self.painted(MAGENTA, "«repeated»");
            return Ok(());
        }
        if let Some(interp) = self.interp.filter(|_| self.options.derivation_paths)
            && interp.is_derivation(attrs)?
        {
            return self.derivation(interp, attrs);
        }
        if depth >= self.options.max_depth {
            self.push("{ ... }");
            return Ok(());
        }
        let mut sorted: Vec<Attr> = attrs.by_name().collect();
        if self.options.max_attrs != usize::MAX {
            // What says most about a set comes first where not all of it can be shown.
            sorted.sort_by_key(|attr| !matches!(attr.name.bytes(), b"type" | b"_type"));
        }
        let on_lines = self.on_lines(sorted.len(), sorted.first().map(|attr| attr.value))?;
        self.push("{");
        self.indent += self.options.indent;
        for (index, attr) in sorted.iter().enumerate() {
            self.space(on_lines);
            if self.attrs >= self.options.max_attrs {
                self.elided(sorted.len() - index, "attribute");
                break;
            }
            print_name(attr.name.bytes(), &mut self.out);
            self.push(" = ");
            self.value(attr.value, depth + 1)?;
            self.push(";");
            self.attrs += 1;
        }
        self.indent -= self.options.indent;
        self.space(on_lines);
        self.push("}");
        Ok(())
    }

    fn derivation(&mut self, interp: &Interp, attrs: &'static Attrs) -> Result<()> {
        let path = match attrs.get(Symbol::DRV_PATH) {
            Some(path) => format!(" {}", interp.force_string(path)?.text()),
            None => String::new(),
        };
        self.painted(GREEN, &format!("«derivation{path}»"));
        Ok(())
    }

    fn list(&mut self, value: Value, list: List, depth: usize) -> Result<()> {
        if !list.is_empty() && !self.seen.insert(list_identity(value, list)) {
            self.painted(MAGENTA, "«repeated»");
            return Ok(());
        }
        if depth >= self.options.max_depth {
            self.push("[ ... ]");
            return Ok(());
        }
        let items = list.items();
        let on_lines = self.on_lines(items.len(), items.first().copied())?;
        self.push("[");
        self.indent += self.options.indent;
        for (index, item) in items.iter().enumerate() {
            self.space(on_lines);
            if self.items >= self.options.max_items {
                self.elided(items.len() - index, "item");
                break;
            }
            self.value(*item, depth + 1)?;
            self.items += 1;
        }
        self.indent -= self.options.indent;
        self.space(on_lines);
        self.push("]");
        Ok(())
    }

    /// Whether each element gets a line: if there are several, or one that has elements itself.
    fn on_lines(&self, count: usize, first: Option<Value>) -> Result<bool> {
        let Some(first) = first.filter(|_| self.options.indent > 0) else {
            return Ok(false);
        };
        if count > 1 {
            return Ok(true);
        }
        let nested = self.evaluated(first)?.map(Value::kind);
        Ok(matches!(nested, None | Some(Kind::Attrs(_) | Kind::List(_))))
    }

    fn elided(&mut self, count: usize, what: &str) {
        self.painted(FAINT, &format!("«{count} {what}{} elided»", if count == 1 { "" } else { "s" }));
    }
}

/// The colours that `nix repl` has.
const CYAN: &str = "\x1b[36m";
const MAGENTA: &str = "\x1b[35m";
const GREEN: &str = "\x1b[32m";
const BLUE: &str = "\x1b[34m";
const RED: &str = "\x1b[31m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Nothing that is meant to be printed nests deeper.
const MAX_NESTING: usize = 10_000;

fn describe_function(function: Value) -> String {
    match function.kind() {
        Kind::Lambda(closure) => describe_lambda(closure.lambda, 0),
        Kind::Builtin(builtin) => format!("«primop {}»", builtin.name),
        Kind::Partial(partial) => match partial.function.kind() {
            Kind::Lambda(closure) => describe_lambda(closure.lambda, partial.args.len()),
            Kind::Builtin(builtin) => format!("«partially applied primop {}»", builtin.name),
            _ => "«function»".to_owned(),
        },
        _ => "«function»".to_owned(),
    }
}

/// A function from its argument number `given` on.
fn describe_lambda(lambda: &Lambda, given: usize) -> String {
    let name = lambda.name.map(|name| format!(" {name}")).unwrap_or_default();
    let place = lambda.positions[given].start().map(|(source, start)| {
        let (line, column) = (start.line, start.column);
        format!(" @ {}:{line}:{column}", source.display_name())
    });
    format!("«lambda{name}{}»", place.unwrap_or_default())
}
