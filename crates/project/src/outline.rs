//! What a flake provides, as `nix flake show` lists it.

use eval::{Attrs, ErrorKind, Interp, Kind, Symbol, Value};

use crate::error::Error;
use crate::project::Project;
use crate::target::Target;

/// How much to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutlineOptions {
    /// Other systems than the one that is evaluated for.
    pub all_systems: bool,
    /// `legacyPackages`, which may be all of nixpkgs.
    pub legacy: bool,
}

/// One name in a flake's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The name itself; of the whole flake, its locked reference.
    pub name: String,
    /// What it is.
    pub item: Item,
}

/// What an output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A set of more.
    Set(Vec<Outline>),
    /// Something to build.
    Derivation {
        /// What it is for: `package`, `development environment`, `container image`, `derivation`.
        what: &'static str,
        /// The derivation's name.
        name: String,
        /// `meta.description`, empty if there is none.
        description: String,
    },
    /// A program to run.
    App {
        /// `meta.description`, if there is one.
        description: Option<String>,
    },
    /// A template for new flakes.
    Template {
        /// What it is for.
        description: String,
    },
    /// Anything else: the name that Nix's JSON gives it, and words for people.
    Other(&'static str, &'static str),
    /// Not looked at, and the option that would show it.
    Omitted(&'static str),
    /// What it is cannot be told, and why.
    Failed(String),
}

impl Outline {
    /// The attribute paths of what fails in it.
    pub fn failures(&self) -> Vec<String> {
        match &self.item {
            Item::Failed(_) => vec![String::new()],
            Item::Set(entries) => entries
                .iter()
                .flat_map(|entry| entry.failures().into_iter().map(|rest| format!("{}.{rest}", entry.name)))
                .map(|path| path.trim_end_matches('.').to_owned())
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl Project {
    /// Lists what a flake provides.
    ///
    /// # Errors
    /// It is no flake, it cannot be locked, or the machine fails. Of an output that fails the list says so.
    pub fn outline(&self, target: &Target, options: OutlineOptions) -> Result<Outline, Error> {
        let packages = self.packages_for(target)?;
        let crate::target::Source::Flake { reference } = &target.source else {
            return Err(Error::target(
                format!("{} is no flake", target.describe()),
                "`wharf eval` shows the value of a file",
            ));
        };
        let (located, _) = fetch::locate(&self.options.directory, reference)
            .map_err(|error| Error::target(error.to_string(), "a flake is a directory with a flake.nix"))?;
        self.evaluate_with(target, |interp| {
            let flake = interp.force_attrs(self.flake(interp, reference, &packages)?)?;
            let outputs = interp.force_attrs(interp.attr(flake, Symbol::intern("outputs"))?.value)?;
            let looking = Looking { interp, options, system: &interp.settings().system };
            Ok(Outline { name: located.to_string(), item: looking.set(outputs, &[])? })
        })
    }
}

/// Whether an error is one of the output itself, so that the others can still be listed.
fn is_of_program(kind: &ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Host | ErrorKind::Interrupted | ErrorKind::StackTooDeep)
}

struct Looking<'a> {
    interp: &'a Interp,
    options: OutlineOptions,
    system: &'a str,
}

/// Outputs whose names are systems, and below those names of derivations.
const BY_SYSTEM: [&str; 3] = ["packages", "checks", "devShells"];
/// Outputs whose names are systems, each a derivation.
const ONE_BY_SYSTEM: [&str; 3] = ["defaultPackage", "devShell", "formatter"];

impl Looking<'_> {
    fn set(&self, attrs: &'static Attrs, path: &[&str]) -> Result<Item, Error> {
        let mut entries = Vec::new();
        for attr in attrs.by_name() {
            let name = attr.name.text();
            let mut below = path.to_vec();
            below.push(&name);
            if self.is_empty(attr.value, &below) {
                continue;
            }
            let item = match self.item(attr.value, &below) {
                Err(Error::Eval { error, .. }) if is_of_program(&error.kind) => Item::Failed(error.message),
                item => item.map_err(|error| self.within(error, &below))?,
            };
            entries.push(Outline { name: name.into_owned(), item });
        }
        Ok(Item::Set(entries))
    }

    fn within(&self, error: Error, path: &[&str]) -> Error {
        match error {
            Error::Eval { error, help } => {
                let step = format!("while looking at the output '{}'", path.join("."));
                Error::Eval { error: error.within(step, eval::Pos::NONE), help }
            }
            other => other,
        }
    }

    fn item(&self, value: Value, path: &[&str]) -> Result<Item, Error> {
        match path {
            [name] if BY_SYSTEM.contains(name) || ONE_BY_SYSTEM.contains(name) => self.sets(value, path),
            ["apps" | "defaultApp" | "templates" | "overlays" | "nixosModules" | "nixosConfigurations"]
            | ["containers" | "legacyPackages"]
            | ["apps", _] => self.sets(value, path),
            [name, _] if BY_SYSTEM.contains(name) => self.sets(value, path),
            [name, system] if ONE_BY_SYSTEM.contains(name) => self.built(value, path, system),
            [name, system, _] if BY_SYSTEM.contains(name) => self.built(value, path, system),
            ["legacyPackages", ..] if !self.options.legacy => Ok(Item::Omitted("--legacy")),
            ["legacyPackages", system, ..] => self.legacy(value, path, system),
            ["containers", _] | ["hydraJobs", ..] => self.derivations(value, path),
            ["apps", _, _] | ["defaultApp", _] => self.app(value),
            ["templates", _] | ["defaultTemplate"] => {
                Ok(Item::Template { description: self.text(value, "description")?.unwrap_or_default() })
            }
            ["overlays", _] | ["overlay"] => Ok(Item::Other("nixpkgs-overlay", "Nixpkgs overlay")),
            ["nixosConfigurations", _] => Ok(Item::Other("nixos-configuration", "NixOS configuration")),
            ["nixosModules", _] | ["nixosModule"] => Ok(Item::Other("nixos-module", "NixOS module")),
            _ => Ok(Item::Other("unknown", "unknown")),
        }
    }

    fn sets(&self, value: Value, path: &[&str]) -> Result<Item, Error> {
        self.set(self.interp.force_attrs(value)?, path)
    }

    /// A derivation for a system.
    fn built(&self, value: Value, path: &[&str], system: &str) -> Result<Item, Error> {
        if !self.options.all_systems && system != self.system {
            return Ok(Item::Omitted("--all-systems"));
        }
        let what = match path[0] {
            "devShell" | "devShells" => "development environment",
            "checks" => "derivation",
            _ => "package",
        };
        match self.derivation(value, what)? {
            Some(item) => Ok(item),
            None => Ok(Item::Other("unknown", "not a derivation")),
        }
    }

    /// A derivation, or sets of them.
    fn derivations(&self, value: Value, path: &[&str]) -> Result<Item, Error> {
        let what = if path[0] == "containers" { "container image" } else { "derivation" };
        if let Some(item) = self.derivation(value, what)? {
            return Ok(item);
        }
        match self.interp.force(value)?.kind() {
            Kind::Attrs(attrs) if path[0] == "hydraJobs" => self.set(attrs, path),
            _ => Ok(Item::Other("unknown", "unknown")),
        }
    }

    /// What fails in there is no concern of the list.
    fn legacy(&self, value: Value, path: &[&str], system: &str) -> Result<Item, Error> {
        if !self.options.all_systems && system != self.system {
            return Ok(Item::Omitted("--all-systems"));
        }
        let looked = self.derivation(value, "package").and_then(|item| match item {
            Some(item) => Ok(item),
            None if path.len() <= 2 => self.sets(value, path),
            None => Ok(Item::Set(Vec::new())),
        });
        Ok(looked.unwrap_or(Item::Set(Vec::new())))
    }

    fn derivation(&self, value: Value, what: &'static str) -> Result<Option<Item>, Error> {
        let Kind::Attrs(attrs) = self.interp.force(value)?.kind() else { return Ok(None) };
        if !self.interp.is_derivation(attrs)? {
            return Ok(None);
        }
        let name = self.text(value, "name")?.unwrap_or_default();
        let description = self.description(attrs)?.unwrap_or_default();
        Ok(Some(Item::Derivation { what, name, description }))
    }

    fn app(&self, value: Value) -> Result<Item, Error> {
        if self.text(value, "type")?.as_deref() != Some("app") {
            return Err(eval::Error::other("this is not an app definition: it has no type = \"app\"").into());
        }
        Ok(Item::App { description: self.description(self.interp.force_attrs(value)?)? })
    }

    fn description(&self, attrs: &'static Attrs) -> Result<Option<String>, Error> {
        match attrs.get(Symbol::intern("meta")) {
            Some(meta) => self.text(meta, "description"),
            None => Ok(None),
        }
    }

    fn text(&self, value: Value, name: &str) -> Result<Option<String>, Error> {
        let Some(value) = self.interp.force_attrs(value)?.get(Symbol::intern(name)) else { return Ok(None) };
        Ok(Some(self.interp.force_string(value)?.text().into_owned()))
    }

    /// A set that has nothing to show is left out; one that fails is not, so that it is seen.
    fn is_empty(&self, value: Value, path: &[&str]) -> bool {
        let holds_more = match path {
            [name] => {
                BY_SYSTEM.contains(name)
                    || ["apps", "formatter", "nixosConfigurations", "nixosModules", "overlays", "containers"]
                        .contains(name)
            }
            [name, _] => BY_SYSTEM.contains(name) || *name == "apps",
            _ => false,
        };
        if !holds_more {
            return false;
        }
        let Ok(attrs) = self.interp.force_attrs(value) else { return false };
        attrs.by_name().all(|attr| {
            let name = attr.name.text();
            let mut below = path.to_vec();
            below.push(&name);
            self.is_empty(attr.value, &below)
        })
    }
}
