//! Values as XML, as `builtins.toXML` and `nix-instantiate --xml` print them.

use crate::Interp;
use crate::embedded;
use crate::error::Result;
use crate::heap::{Attrs, Kind, StrBuilder, Value};
use crate::ir::Lambda;
use crate::position::{Origin, Pos};
use crate::symbol::Symbol;

use rustc_hash::FxHashSet;

/// What to print.
#[derive(Clone, Copy, Debug)]
pub struct XmlOptions {
    /// Whether to evaluate everything first; if not, what is not evaluated is printed as such.
    pub strict: bool,
    /// Whether attributes and functions have their positions.
    pub location: bool,
}

/// Appends a whole document. What its strings refer to is added to the context.
pub fn write(interp: &Interp, value: Value, options: XmlOptions, out: &mut StrBuilder) -> Result<()> {
    out.bytes.extend_from_slice(b"<?xml version='1.0' encoding='utf-8'?>\n");
    let mut writer = Writer { interp, options, out, depth: 0, derivations: FxHashSet::default() };
    writer.element("expr", &[], |writer| writer.value(value))
}

struct Writer<'a> {
    interp: &'a Interp,
    options: XmlOptions,
    out: &'a mut StrBuilder,
    depth: usize,
    /// The derivations whose attributes are printed already.
    derivations: FxHashSet<Vec<u8>>,
}

/// The name and the value of an attribute of an element.
type Pair<'a> = (&'static str, &'a [u8]);

impl Writer<'_> {
    fn open(&mut self, name: &str, pairs: &[Pair<'_>], end: &str) {
        let out = &mut self.out.bytes;
        out.extend(std::iter::repeat_n(b' ', self.depth * 2));
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        for (name, value) in pairs {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(value, out);
            out.push(b'"');
        }
        out.extend_from_slice(end.as_bytes());
    }

    fn empty(&mut self, name: &str, pairs: &[Pair<'_>]) {
        self.open(name, pairs, " />\n");
    }

    fn element(&mut self, name: &str, pairs: &[Pair<'_>], inner: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.open(name, pairs, ">\n");
        self.depth += 1;
        inner(self)?;
        self.depth -= 1;
        self.out.bytes.extend(std::iter::repeat_n(b' ', self.depth * 2));
        self.out.bytes.extend_from_slice(format!("</{name}>\n").as_bytes());
        Ok(())
    }

    fn value(&mut self, value: Value) -> Result<()> {
        let _depth = self.interp.deeper()?;
        // As in `print::plain`: a function in a set or list is evaluated in Nix only when somebody asks for it.
        let is_code = !self.options.strict && !value.is_thunk() && self.depth > 1;
        let Some(value) = self.evaluated(value)? else {
            self.empty("unevaluated", &[]);
            return Ok(());
        };
        match value.kind() {
            Kind::Null => self.empty("null", &[]),
            Kind::Bool(value) => self.empty("bool", &[("value", if value { b"true" } else { b"false" })]),
            Kind::Int(value) => self.empty("int", &[("value", value.to_string().as_bytes())]),
            Kind::Float(value) => self.empty("float", &[("value", syntax::float::general(value).as_bytes())]),
            Kind::String(string) => {
                self.out.context.add(string.context());
                self.empty("string", &[("value", string.bytes())]);
            }
            Kind::Path(path) => self.empty("path", &[("value", &embedded::shown(path.bytes()))]),
            Kind::List(list) => {
                return self
                    .element("list", &[], |writer| list.items().iter().try_for_each(|item| writer.value(*item)));
            }
            Kind::Attrs(attrs) if self.interp.is_derivation(attrs)? => return self.derivation(attrs),
            Kind::Attrs(attrs) => return self.element("attrs", &[], |writer| writer.attrs(attrs)),
            Kind::Lambda(_) if is_code => self.empty("unevaluated", &[]),
            Kind::Lambda(closure) => return self.function(closure.lambda, 0),
            Kind::Partial(partial) => match partial.function.kind() {
                Kind::Lambda(closure) => return self.function(closure.lambda, partial.args.len()),
                _ => self.empty("unevaluated", &[]),
            },
            Kind::Builtin(_) | Kind::Thunk(_) => self.empty("unevaluated", &[]),
        }
        Ok(())
    }

    /// The value of a thunk, if it is there or may be computed.
    fn evaluated(&self, value: Value) -> Result<Option<Value>> {
        if self.options.strict { self.interp.force(value).map(Some) } else { Ok(value.resolved()) }
    }

    fn attrs(&mut self, attrs: &'static Attrs) -> Result<()> {
        for attr in attrs.by_name() {
            let place = self.place(attr.pos);
            let mut pairs = place.pairs();
            pairs.push(("name", attr.name.bytes()));
            pairs.sort_unstable_by_key(|pair| pair.0);
            self.element("attr", &pairs, |writer| writer.value(attr.value))?;
        }
        Ok(())
    }

    fn place(&self, pos: Pos) -> Place {
        let Some((source, start)) = pos.start().filter(|_| self.options.location) else {
            return Place::default();
        };
        let path = match &source.origin {
            Origin::File(path) => Some(crate::interp::paths::bytes(path).to_vec()),
            _ => None,
        };
        Place { path, line_and_column: Some((start.line.to_string(), start.column.to_string())) }
    }

    fn derivation(&mut self, attrs: &'static Attrs) -> Result<()> {
        let drv_path = self.string_attr(attrs, Symbol::DRV_PATH)?;
        let out_path = self.string_attr(attrs, Symbol::OUT_PATH)?;
        let mut pairs: Vec<Pair<'_>> = Vec::new();
        pairs.extend(drv_path.map(|path| ("drvPath", path)));
        pairs.extend(out_path.map(|path| ("outPath", path)));
        let is_new = drv_path.is_some_and(|path| !path.is_empty() && self.derivations.insert(path.to_vec()));
        self.element("derivation", &pairs, |writer| {
            if is_new {
                return writer.attrs(attrs);
            }
            writer.empty("repeated", &[]);
            Ok(())
        })
    }

    fn string_attr(&self, attrs: &'static Attrs, name: Symbol) -> Result<Option<&'static [u8]>> {
        let Some(value) = attrs.get(name) else {
            return Ok(None);
        };
        Ok(match self.evaluated(value)?.map(Value::kind) {
            Some(Kind::String(string)) => Some(string.bytes()),
            _ => None,
        })
    }

    /// A function from its argument number `given` on.
    fn function(&mut self, lambda: &'static Lambda, given: usize) -> Result<()> {
        let place = self.place(lambda.positions[given]);
        self.element("function", &place.pairs(), |writer| {
            if let Some(name) = lambda.arguments.get(given) {
                writer.empty("varpat", &[("name", name.bytes())]);
                return Ok(());
            }
            let Some(pattern) = &lambda.pattern else {
                return Ok(());
            };
            let mut pairs: Vec<Pair<'_>> = Vec::new();
            if pattern.ellipsis {
                pairs.push(("ellipsis", b"1"));
            }
            pairs.extend(pattern.whole_name.map(|name| ("name", name.bytes())));
            let mut names: Vec<&[u8]> = pattern.formals.iter().map(|formal| formal.name.bytes()).collect();
            names.sort_unstable();
            writer.element("attrspat", &pairs, |writer| {
                names.iter().for_each(|name| writer.empty("attr", &[("name", name)]));
                Ok(())
            })
        })
    }
}

/// A position as attributes of an element.
#[derive(Default)]
struct Place {
    path: Option<Vec<u8>>,
    line_and_column: Option<(String, String)>,
}

impl Place {
    fn pairs(&self) -> Vec<Pair<'_>> {
        let mut pairs: Vec<Pair<'_>> = Vec::new();
        if let Some((line, column)) = &self.line_and_column {
            pairs.push(("column", column.as_bytes()));
            pairs.push(("line", line.as_bytes()));
        }
        pairs.extend(self.path.as_ref().map(|path| ("path", &path[..])));
        pairs
    }
}

/// Appends a value of an attribute. Line feeds are escaped, since a parser would turn them into spaces.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' => out.extend_from_slice(b"&quot;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'\n' => out.extend_from_slice(b"&#xA;"),
            _ => out.push(*byte),
        }
    }
}
