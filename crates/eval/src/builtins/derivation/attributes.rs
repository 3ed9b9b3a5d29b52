//! The attributes of a derivation, as the derivation takes them.

use nix_formats::content_address::Method;
use nix_formats::derivation::STRUCTURED_ATTRS_KEY;
use nix_formats::hash::HashAlgo;

use super::is_null;
use crate::Interp;
use crate::error::{Error, Result};
use crate::heap::{Attr, Attrs, Context, Str, StrBuilder, Value};
use crate::host::Level;
use crate::interp::Coercion;
use crate::json;
use crate::symbol::Symbol;

type Bytes = bstr::BString;

/// What the attributes say.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) builder: Bytes,
    pub(super) system: String,
    pub(super) args: Vec<Bytes>,
    /// The environment, in the order of the names.
    pub(super) env: Vec<(Bytes, Bytes)>,
    pub(super) outputs: Vec<String>,
    pub(super) output_hash: Option<String>,
    pub(super) output_hash_algo: Option<HashAlgo>,
    pub(super) method: Option<Method>,
    pub(super) content_addressed: bool,
    pub(super) impure: bool,
    /// What all of it refers to, and the text of the attribute that is being read.
    pub(super) text: StrBuilder,
}

impl Attributes {
    /// Evaluates the attributes in the order of their names.
    pub(super) fn collect(interp: &Interp, name: &str, attrs: &'static Attrs) -> Result<Attributes> {
        let flag = |name| attrs.get(name).map_or(Ok(false), |value| interp.force_bool(value));
        let ignore_nulls = flag(Symbol::IGNORE_NULLS)?;
        let structured = flag(Symbol::STRUCTURED_ATTRS)?;
        let mut attributes = Attributes { outputs: vec!["out".to_owned()], ..Attributes::default() };
        let mut json = StrBuilder::default();
        for attr in attrs.by_name() {
            if attr.name == Symbol::IGNORE_NULLS {
                continue;
            }
            attributes.take(interp, name, attr, (ignore_nulls, structured), &mut json).map_err(|error| {
                error.within(format!("while evaluating attribute '{}' of derivation '{name}'", attr.name), attr.pos)
            })?;
        }
        if structured {
            attributes.finish_structured(json);
        }
        Ok(attributes)
    }

    fn take(
        &mut self,
        interp: &Interp,
        name: &str,
        attr: Attr,
        (ignore_nulls, structured): (bool, bool),
        json: &mut StrBuilder,
    ) -> Result<()> {
        if ignore_nulls && is_null(interp, attr.value)? {
            return Ok(());
        }
        match attr.name {
            Symbol::CONTENT_ADDRESSED => self.content_addressed = interp.force_bool(attr.value)?,
            Symbol::IMPURE => self.impure = interp.force_bool(attr.value)?,
            Symbol::ARGS => self.take_args(interp, attr.value)?,
            Symbol::STRUCTURED_ATTRS if structured => {}
            _ if structured => self.take_structured(interp, name, attr, json)?,
            _ => self.take_plain(interp, attr)?,
        }
        Ok(())
    }

    fn refer(&mut self, context: Option<&'static Context>) {
        self.text.context.add(context);
    }

    /// The text of a value, of which only the references are kept.
    fn text_of(&mut self, interp: &Interp, value: Value) -> Result<Bytes> {
        interp.append_coerced(value, Coercion::DERIVATION, &mut self.text)?;
        Ok(std::mem::take(&mut self.text.bytes).into())
    }

    fn take_args(&mut self, interp: &Interp, value: Value) -> Result<()> {
        for item in interp.force_list(value)?.items() {
            let arg = self
                .text_of(interp, *item)
                .map_err(|error| error.within("while evaluating an element of the argument list", crate::Pos::NONE))?;
            self.args.push(arg);
        }
        Ok(())
    }

    /// An attribute that becomes an environment variable.
    fn take_plain(&mut self, interp: &Interp, attr: Attr) -> Result<()> {
        let text = self.text_of(interp, attr.value)?;
        match attr.name {
            Symbol::BUILDER => self.builder = text.clone(),
            Symbol::SYSTEM => self.system = utf8(&text)?.to_owned(),
            Symbol::OUTPUT_HASH => self.output_hash = Some(utf8(&text)?.to_owned()),
            Symbol::OUTPUT_HASH_ALGO => self.output_hash_algo = parse_algo(utf8(&text)?)?,
            Symbol::OUTPUT_HASH_MODE => self.method = Some(parse_method(utf8(&text)?)?),
            Symbol::OUTPUTS => {
                self.set_outputs(utf8(&text)?.split([' ', '\t', '\n', '\r']).filter(|name| !name.is_empty()))?;
            }
            _ => {}
        }
        self.env.push((attr.name.bytes().into(), text));
        Ok(())
    }

    /// An attribute that becomes part of the JSON.
    fn take_structured(&mut self, interp: &Interp, name: &str, attr: Attr, out: &mut StrBuilder) -> Result<()> {
        out.bytes.push(if out.bytes.is_empty() { b'{' } else { b',' });
        json::write_string(attr.name.bytes(), &mut out.bytes)?;
        out.bytes.push(b':');
        json::write(interp, attr.value, json::Paths::CopyToStore, out)?;
        let plain = || interp.force_text(attr.value);
        match attr.name {
            Symbol::BUILDER => {
                let builder: &'static Str = interp.force_string(attr.value)?;
                self.refer(builder.context());
                self.builder = builder.bytes().into();
            }
            Symbol::SYSTEM => self.system = plain()?.to_owned(),
            Symbol::OUTPUT_HASH => self.output_hash = Some(plain()?.to_owned()),
            Symbol::OUTPUT_HASH_ALGO => self.output_hash_algo = parse_algo(plain()?)?,
            Symbol::OUTPUT_HASH_MODE => self.method = Some(parse_method(plain()?)?),
            Symbol::OUTPUTS => {
                let outputs = interp.force_list(attr.value)?.items();
                let outputs = outputs.iter().map(|output| interp.force_text(*output)).collect::<Result<Vec<_>>>()?;
                self.set_outputs(outputs.into_iter())?;
            }
            Symbol::ALLOWED_REFERENCES
            | Symbol::ALLOWED_REQUISITES
            | Symbol::DISALLOWED_REFERENCES
            | Symbol::DISALLOWED_REQUISITES
            | Symbol::MAX_SIZE
            | Symbol::MAX_CLOSURE_SIZE => warn_without_effect(interp, name, attr.name),
            _ => {}
        }
        Ok(())
    }

    fn finish_structured(&mut self, mut json: StrBuilder) {
        if json.bytes.is_empty() {
            json.bytes.push(b'{');
        }
        json.bytes.push(b'}');
        self.refer(json.context.finish());
        self.env.push((STRUCTURED_ATTRS_KEY.into(), json.bytes.into()));
    }

    fn set_outputs<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        self.outputs.clear();
        for name in names {
            if self.outputs.iter().any(|other| other == name) {
                return Err(Error::other(format!("duplicate derivation output '{name}'")));
            }
            if name == "drvPath" {
                return Err(Error::other("invalid derivation output name 'drvPath'"));
            }
            self.outputs.push(name.to_owned());
        }
        if self.outputs.is_empty() {
            return Err(Error::other("a derivation cannot have an empty set of outputs"));
        }
        Ok(())
    }

    /// Whether all that a derivation needs is there and goes together.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if self.builder.is_empty() {
            return Err(Error::other("required attribute 'builder' missing"));
        }
        if self.system.is_empty() {
            return Err(Error::other("required attribute 'system' missing"));
        }
        let single = self.outputs.len() == 1 && self.outputs[0] == "out";
        if name.ends_with(".drv") && !(self.method == Some(Method::Text) && single) {
            return Err(Error::other(
                "derivation names are allowed to end in '.drv' only if they produce a single derivation file",
            ));
        }
        if self.output_hash.is_some() && !single {
            return Err(Error::other("multiple outputs are not supported in fixed-output derivations"));
        }
        if self.content_addressed && self.impure {
            return Err(Error::other("a derivation cannot be both content-addressed and impure"));
        }
        Ok(())
    }
}

/// A value that an attribute must be: a string, whatever it refers to.
fn utf8(text: &Bytes) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| Error::other(format!("'{text}' is not valid UTF-8")))
}

fn warn_without_effect(interp: &Interp, derivation: &str, attr: Symbol) {
    let message = format!(
        "in derivation '{derivation}': 'structuredAttrs' disables the effect of the attribute '{attr}'; use \
         'outputChecks.<output>.{attr}' instead"
    );
    interp.host().show(Level::Warning, &message);
}

/// An algorithm's name; an unknown or empty one means that the hash itself says it.
fn parse_algo(text: &str) -> Result<Option<HashAlgo>> {
    Ok(HashAlgo::parse(text).ok())
}

fn parse_method(text: &str) -> Result<Method> {
    Method::parse_output_hash_mode(text)
        .ok_or_else(|| Error::other(format!("invalid value '{text}' for the 'outputHashMode' attribute")))
}
