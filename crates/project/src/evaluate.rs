//! A target to its value.

use std::path::Path;

use eval::{Attrs, AttrsBuilder, Interp, Kind, Origin, Symbol, Value};

use store::progress::{Activity, Outcome, Task};

use crate::error::Error;
use crate::options::Argument;
use crate::packages::{self, Packages};
use crate::pins::Pins;
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

/// What messages call the text that calls the target.
pub(crate) const CALL_ORIGIN: &str = "«the call of the target»";

/// The places in a flake's outputs where a name is looked for, `SYSTEM` standing for the system; in this order,
/// and then in the outputs themselves.
const FLAKE_PREFIXES: &[&[&str]] = &[&["packages", "SYSTEM"], &["legacyPackages", "SYSTEM"], &["containers"]];

impl Project {
    /// The value of a target, functions on the way called.
    pub(crate) fn value(&self, interp: &Interp, target: &Target, packages: &Packages) -> Result<Value, Error> {
        let given = self.given(interp)?;
        match &target.source {
            Source::File(file) => {
                let value = interp.eval_file(file)?;
                self.descend(interp, value, packages, given, &target.attributes)
            }
            Source::Text(text) => {
                let origin = Origin::Text("«--expr»".to_owned());
                let value = interp.eval_source(origin, text.as_bytes().to_vec(), &self.options.directory, &[])?;
                self.descend(interp, value, packages, given, &target.attributes)
            }
            Source::Flake { reference } => self.flake_output(interp, reference, packages, &target.attributes),
        }
    }

    /// The value of a target within an evaluation that has begun; of a flake without an output, the flake itself.
    ///
    /// # Errors
    /// The evaluation fails.
    pub fn target_value(&self, interp: &Interp, target: &Target) -> Result<Value, Error> {
        let packages = self.packages_for(target)?;
        match &target.source {
            Source::Flake { reference } if target.attributes.is_empty() => self.flake(interp, reference, &packages),
            _ => self.value(interp, target, &packages),
        }
    }

    /// A flake with its outputs and inputs, within an evaluation that has begun.
    ///
    /// # Errors
    /// It cannot be locked, or its evaluation fails.
    pub fn flake_value(&self, interp: &Interp, reference: &str) -> Result<Value, Error> {
        self.flake(interp, reference, &Packages::BuiltIn)
    }

    /// Goes down the attributes, calling functions with `pkgs` and the user's arguments.
    fn descend(
        &self,
        interp: &Interp,
        value: Value,
        packages: &Packages,
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
        let pkgs = self.packages(interp, packages, given)?;
        let mut arguments = AttrsBuilder::default();
        arguments.push(Symbol::intern("pkgs"), pkgs);
        if let Some(lib) = interp.force_attrs(pkgs)?.get(Symbol::intern("lib")) {
            arguments.push(Symbol::intern("lib"), lib);
        }
        arguments.push(Symbol::intern("system"), Value::string(&interp.settings().system));
        let arguments = Attrs::update(arguments.finish(), given);
        let scope = [("target", value), ("pkgs", pkgs), ("arguments", arguments.into())]
            .map(|(name, value)| (Symbol::intern(name), value));
        let origin = Origin::Text(CALL_ORIGIN.to_owned());
        let called = interp.eval_source(origin, CALL_TARGET.as_bytes().to_vec(), Path::new("/"), &scope)?;
        Ok(interp.attr_path(called, &quoted(attributes), arguments)?)
    }

    pub(crate) fn packages(&self, interp: &Interp, packages: &Packages, given: &'static Attrs) -> Result<Value, Error> {
        let task = Task::start(&*self.options.progress, Activity::Evaluate, "pkgs", None);
        task.log(&packages.to_string());
        task.finish(Outcome::UpToDate);
        let wharf = self.own_object()?;
        let options = &self.options;
        let pins = Pins::expression_for(&options.directory)?;
        Ok(packages::evaluate(packages, interp, &wharf, given.into(), &options.directory, &pins)?)
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
        // Not as a part of the text, which errors show: there may be a password in it.
        let text = b"builtins.getFlake reference".to_vec();
        let scope = [(Symbol::intern("reference"), Value::string(reference))];
        let origin = Origin::Text("«the flake of the command line»".to_owned());
        let flake = interp.force(interp.eval_source(origin, text, Path::new("/"), &scope)?)?;
        note_settings(interp, flake)?;
        Ok(flake)
    }

    /// An output of a flake: the name is looked for where flakes keep such things.
    fn flake_output(
        &self,
        interp: &Interp,
        reference: &str,
        packages: &Packages,
        attributes: &[String],
    ) -> Result<Value, Error> {
        let flake = self.flake(interp, reference, packages)?;
        let system = interp.settings().system.as_str();
        for path in places(attributes, system) {
            if let Some(value) = lookup(interp, flake, &path)? {
                return Ok(value);
            }
        }
        Err(no_output(interp, flake, reference, attributes, system))
    }

    /// The outputs of a flake, its `nixpkgs` replaced if the user says so.
    pub(crate) fn flake(&self, interp: &Interp, reference: &str, packages: &Packages) -> Result<Value, Error> {
        match self.options.packages {
            None => self.locked_flake(interp, reference),
            Some(_) => self.flake_with_packages(interp, reference, packages),
        }
    }
}

/// Says that a flake's `nixConfig` is not applied: a flake does not change the settings of who looks at it.
fn note_settings(interp: &Interp, flake: Value) -> Result<(), Error> {
    let Some(place) = interp.force_attrs(flake)?.get(Symbol::OUT_PATH) else { return Ok(()) };
    let place = interp.coerce_to_string(place, eval::Coercion::PATH_PART)?;
    // It was read already.
    let declaration = interp.eval_file(&Path::new(&*place.text()).join("flake.nix"))?;
    let Some(config) = interp.force_attrs(declaration)?.get(Symbol::intern("nixConfig")) else { return Ok(()) };
    let names: Vec<String> = interp.force_attrs(config)?.by_name().map(|attr| attr.name.text().into_owned()).collect();
    if !names.is_empty() {
        let message = format!(
            "the flake's nixConfig is not applied ({}); give the settings that you want with --option",
            names.join(", ")
        );
        interp.host().show(eval::Level::Warning, &message);
    }
    Ok(())
}

/// The attribute paths under which a name is looked for, in this order; a name that begins with a dot is whole.
fn places(attributes: &[String], system: &str) -> Vec<Vec<String>> {
    if let Some((first, rest)) = attributes.split_first()
        && first.is_empty()
    {
        return vec![rest.to_vec()];
    }
    let default = ["default".to_owned()];
    let names = if attributes.is_empty() { &default[..] } else { attributes };
    let mut places: Vec<Vec<String>> = FLAKE_PREFIXES
        .iter()
        .map(|prefix| {
            let steps =
                prefix.iter().map(|step| if *step == "SYSTEM" { system.to_owned() } else { (*step).to_owned() });
            steps.chain(names.iter().cloned()).collect()
        })
        .collect();
    match attributes.is_empty() {
        true => places.push(vec!["defaultPackage".to_owned(), system.to_owned()]),
        false => places.push(names.to_vec()),
    }
    places
}

/// Says where was looked, and which names there are like it.
fn no_output(interp: &Interp, flake: Value, reference: &str, attributes: &[String], system: &str) -> Error {
    let places = places(attributes, system);
    let mut candidates = Vec::new();
    for path in &places {
        let Some((_, parent)) = path.split_last() else { continue };
        if let Ok(Some(value)) = lookup(interp, flake, parent)
            && let Some(attrs) = value.as_attrs()
        {
            candidates.extend(attrs.by_name().map(|attr| attr.name));
        }
    }
    let tried: Vec<String> = places.iter().map(|path| format!("'{}'", path.join("."))).collect();
    let message = format!("the flake '{reference}' does not provide attribute {}", alternatives(&tried));
    let near = match attributes.last() {
        Some(name) => eval::report::near_names(Symbol::intern(name), &candidates),
        None => Vec::new(),
    };
    Error::target(
        message,
        match near.is_empty() {
            true => "`wharf show` lists what it provides".to_owned(),
            false => format!("did you mean {}?", alternatives(&near)),
        },
    )
}

fn alternatives(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// What the names lead to, if all of them are there.
fn lookup(interp: &Interp, value: Value, path: &[String]) -> Result<Option<Value>, Error> {
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
