//! A target to its value.

use std::path::Path;

use eval::{Attrs, AttrsBuilder, Interp, Kind, Origin, Symbol, Value};

use crate::error::Error;
use crate::options::Argument;
use crate::packages::{self, Packages};
use crate::project::Project;
use crate::target::{Source, Target};

/// Calls a file's function as the documents expect it: with `pkgs`, with what the user gave, and, for an argument that
/// has no default, with the package of that name, as `callPackage` would.
const CALL_TARGET: &str = "
let
  formals = builtins.functionArgs target;
  required = builtins.listToAttrs (
    map (name: { inherit name; value = null; }) (builtins.filter (name: !formals.${name}) (builtins.attrNames formals))
  );
in
target (builtins.intersectAttrs required pkgs // builtins.intersectAttrs formals arguments)
";

/// The places in a flake's outputs where a name is looked for, `SYSTEM` standing for the system; in this order.
const FLAKE_PREFIXES: &[&[&str]] = &[&["packages", "SYSTEM"], &["legacyPackages", "SYSTEM"], &["containers"], &[]];

impl Project {
    /// The value of a target, functions on the way called.
    pub(crate) fn value(&self, interp: &Interp, target: &Target) -> Result<Value, Error> {
        let given = self.given(interp)?;
        match &target.source {
            Source::File(file) => {
                let value = interp.eval_file(file)?;
                self.descend(interp, value, given, &target.attributes)
            }
            Source::Text(text) => {
                let origin = Origin::Text("«the expression of the command line»".to_owned());
                let value = interp.eval_source(origin, text.as_bytes().to_vec(), &self.options.directory, &[])?;
                self.descend(interp, value, given, &target.attributes)
            }
            Source::Flake { reference } => self.flake_output(interp, reference, &target.attributes),
        }
    }

    /// Goes down the attributes, calling functions with `pkgs` and the user's arguments.
    fn descend(
        &self,
        interp: &Interp,
        value: Value,
        given: &'static Attrs,
        attributes: &[String],
    ) -> Result<Value, Error> {
        let value = interp.force(value)?;
        if !takes_a_set(value) && attributes.is_empty() {
            return Ok(value);
        }
        if !takes_a_set(value) {
            return Ok(interp.attr_path(value, &quoted(attributes), given)?);
        }
        let pkgs = self.packages(interp, given)?;
        let mut arguments = AttrsBuilder::default();
        arguments.push(Symbol::intern("pkgs"), pkgs);
        if let Some(lib) = interp.force_attrs(pkgs)?.get(Symbol::intern("lib")) {
            arguments.push(Symbol::intern("lib"), lib);
        }
        arguments.push(Symbol::intern("system"), Value::string(&self.options.system));
        let arguments = Attrs::update(arguments.finish(), given);
        let scope = [("target", value), ("pkgs", pkgs), ("arguments", arguments.into())]
            .map(|(name, value)| (Symbol::intern(name), value));
        let origin = Origin::Text("«the call of the target»".to_owned());
        let called = interp.eval_source(origin, CALL_TARGET.as_bytes().to_vec(), Path::new("/"), &scope)?;
        Ok(interp.attr_path(called, &quoted(attributes), arguments)?)
    }

    pub(crate) fn packages(&self, interp: &Interp, given: &'static Attrs) -> Result<Value, Error> {
        let wharf = self.own_object()?;
        let options = &self.options;
        Ok(packages::evaluate(&options.packages, interp, &wharf, given.into(), &options.directory)?)
    }

    /// The user's arguments as a set.
    pub(crate) fn given(&self, interp: &Interp) -> Result<&'static Attrs, Error> {
        let mut given = AttrsBuilder::with_capacity(self.options.arguments.len());
        for (name, argument) in &self.options.arguments {
            let value = match argument {
                Argument::String(text) => Value::string(text),
                Argument::Expression(text) => {
                    let origin = Origin::Text(format!("«--arg {name}»"));
                    interp.eval_source(origin, text.as_bytes().to_vec(), &self.options.directory, &[])?
                }
            };
            given.push(Symbol::intern(name), value);
        }
        Ok(given.finish())
    }

    fn locked_flake(&self, interp: &Interp, reference: &str) -> Result<Value, Error> {
        let mut text = b"builtins.getFlake ".to_vec();
        syntax::print_string(reference.as_bytes(), &mut text);
        let origin = Origin::Text("«the flake of the command line»".to_owned());
        Ok(interp.eval_source(origin, text, Path::new("/"), &[])?)
    }

    /// An output of a flake: the name is looked for where flakes keep such things.
    fn flake_output(&self, interp: &Interp, reference: &str, attributes: &[String]) -> Result<Value, Error> {
        let flake = match self.options.packages {
            Packages::BuiltIn => self.locked_flake(interp, reference)?,
            Packages::File(_) | Packages::SearchPath(_) => self.flake_with_packages(interp, reference)?,
        };
        let default = ["default".to_owned()];
        let names = if attributes.is_empty() { &default[..] } else { attributes };
        for prefix in FLAKE_PREFIXES {
            let mut path: Vec<&str> =
                prefix.iter().map(|step| if *step == "SYSTEM" { self.options.system.as_str() } else { step }).collect();
            path.extend(names.iter().map(String::as_str));
            if let Some(value) = lookup(interp, flake, &path)? {
                return Ok(value);
            }
        }
        Err(Error::target(
            format!("the flake '{reference}' has no output '{}'", names.join(".")),
            format!(
                "it is looked for in packages.{0}, legacyPackages.{0}, containers and the outputs themselves",
                self.options.system
            ),
        ))
    }
}

/// What the names lead to, if all of them are there.
fn lookup(interp: &Interp, value: Value, path: &[&str]) -> Result<Option<Value>, Error> {
    let mut value = interp.force(value)?;
    for name in path {
        let Kind::Attrs(attrs) = value.kind() else { return Ok(None) };
        match attrs.get(Symbol::intern(name)) {
            Some(next) => value = interp.force(next)?,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn takes_a_set(value: Value) -> bool {
    matches!(value.kind(), Kind::Lambda(closure) if closure.lambda.pattern.is_some())
}

/// The names as `-A` would take them.
fn quoted(attributes: &[String]) -> String {
    attributes.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(".")
}
