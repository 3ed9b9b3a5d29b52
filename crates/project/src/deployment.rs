//! A target that defines `containers.<name>` to the definition and its images.

use std::collections::BTreeMap;

use eval::{Attrs, Interp, Kind, Origin, Symbol, Value};

use crate::derived::{self, Derived};
use crate::embedded;
use crate::error::Error;
use crate::packages::Packages;
use crate::project::Project;
use crate::target::{Source, Target};

/// The containers that a target defines, evaluated with the module system.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The definition as JSON, in the form that the `deploy` crate reads.
    pub json: String,
    /// What the user's modules warn of.
    pub warnings: Vec<String>,
    /// The image of each container, by the container's name.
    pub images: BTreeMap<String, ContainerImage>,
}

/// Where the image of a container comes from.
#[derive(Clone, Debug)]
pub enum ContainerImage {
    /// A reference into a registry: the image was made elsewhere.
    Reference(String),
    /// A derivation that is built here.
    Derived(Box<Derived>),
}

impl Project {
    /// Evaluates a target as a module, as `nixos-rebuild` would take it.
    ///
    /// # Errors
    /// The evaluation fails, or a definition does.
    pub fn deployment(&self, target: &Target) -> Result<Deployment, Error> {
        let packages = self.packages_for(target)?;
        self.evaluate_with(target, |interp| {
            let module = self.module(interp, target, &packages)?;
            let evaluated = self.evaluated_modules(interp, module, &packages)?;
            deployment(interp, evaluated)
        })
    }

    /// The module itself: a file is taken by its path, so that what goes wrong in it is said with its name.
    fn module(&self, interp: &Interp, target: &Target, packages: &Packages) -> Result<Value, Error> {
        match &target.source {
            Source::File(file) if target.attributes.is_empty() => Ok(Value::path(file.as_os_str().as_encoded_bytes())),
            _ => self.value(interp, target, packages),
        }
    }

    fn evaluated_modules(&self, interp: &Interp, module: Value, packages: &Packages) -> Result<&'static Attrs, Error> {
        let given = self.given(interp)?;
        let scope = [("pkgs", self.packages(interp, packages, given)?), ("module", module), ("given", given.into())]
            .map(|(name, value)| (Symbol::intern(name), value));
        let text = format!(
            "import {}/deploy.nix {{ inherit pkgs; modules = [ module ]; specialArgs = given; }}",
            embedded::ROOT
        );
        let origin = Origin::Text("«the evaluation of containers»".to_owned());
        let value = interp.eval_source(origin, text.into_bytes(), &self.options.directory, &scope)?;
        Ok(interp.force_attrs(value)?)
    }
}

fn deployment(interp: &Interp, evaluated: &'static Attrs) -> Result<Deployment, Error> {
    let get = |name: &str| {
        evaluated.get(Symbol::intern(name)).ok_or_else(|| eval::Error::other(format!("deploy.nix has no '{name}'")))
    };
    let text = |value: Value| interp.force_string(value).map(|text| text.text().into_owned());
    let json = text(get("json")?)?;
    let mut warnings = Vec::new();
    if let Kind::List(list) = interp.force(get("warnings")?)?.kind() {
        for warning in list.items() {
            warnings.push(text(*warning)?);
        }
    }
    let mut images = BTreeMap::new();
    for image in interp.force_attrs(get("images")?)?.by_name() {
        let name = image.name.text().into_owned();
        let found = container_image(interp, image.value, &name)?;
        images.insert(name, found);
    }
    Ok(Deployment { json, warnings, images })
}

fn container_image(interp: &Interp, value: Value, name: &str) -> Result<ContainerImage, Error> {
    if let Kind::String(reference) = interp.force(value)?.kind() {
        return Ok(ContainerImage::Reference(reference.text().into_owned()));
    }
    let mut derived = derived::of_value(interp, value, &format!("containers.{name}.image"))?;
    match (derived.pop(), derived.is_empty()) {
        (Some(image), true) => Ok(ContainerImage::Derived(Box::new(image))),
        _ => Err(Error::Kind {
            what: format!("containers.{name}.image"),
            found: "a set of derivations".to_owned(),
            wanted: "one image is needed here",
        }),
    }
}
