//! Derivations found in a value.

use std::sync::atomic::{AtomicUsize, Ordering};

use eval::{Attrs, Evaluator, Interp, Kind, Symbol, Value};
use nix_formats::store_path::StorePath;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A derivation in a value, by what the value itself says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// The attributes that led to it below the target, as `containers.web`; empty for the target itself.
    pub attribute: String,
    /// Its name, as `web-1.0`.
    pub name: String,
    /// The derivation.
    pub derivation: StorePath,
    /// The output that is meant.
    pub output: String,
    /// Where that output will be; unknown before it is built if its content decides.
    pub path: Option<StorePath>,
    /// The program that `nix run` would start, as `meta.mainProgram` says.
    pub main_program: Option<String>,
    /// The systems that an image is wanted for, as its `system` says; none is the one of the evaluation.
    #[serde(default)]
    pub systems: Vec<String>,
    /// The same for each of those systems, in their order, where there are several. This one is one of them.
    #[serde(default)]
    pub platforms: Vec<Derived>,
}

/// A value that may hold derivations, taken apart: each part can be evaluated on its own.
pub(crate) struct Roots {
    /// The attributes that lead to each part, and the part.
    parts: Vec<(String, Value)>,
    /// What the whole value is.
    found: &'static str,
}

/// Takes a value apart: a derivation is one part, a set or a list has many.
pub(crate) fn roots(interp: &Interp, value: Value) -> Result<Roots, Error> {
    let value = interp.force(value)?;
    let parts = match value.kind() {
        Kind::Attrs(attrs) if interp.is_derivation(attrs)? => vec![(String::new(), value)],
        Kind::Attrs(attrs) => attrs.by_name().map(|attr| (attr.name.text().into_owned(), attr.value)).collect(),
        Kind::List(list) => list.items().iter().enumerate().map(|(index, item)| (index.to_string(), *item)).collect(),
        _ => Vec::new(),
    };
    Ok(Roots { parts, found: value.describe() })
}

/// The derivations of a value, one after the other; `what` is what an error calls the value.
pub(crate) fn of_value(interp: &Interp, value: Value, what: &str) -> Result<Vec<Derived>, Error> {
    let roots = roots(interp, value)?;
    let each = roots.parts.iter().map(|part| of_part(interp, part));
    roots.checked(each.collect::<Result<Vec<_>, _>>()?, what)
}

/// The derivations of a value's parts, in their order, on all processors. The error is that of the first part that fails.
pub(crate) fn collect(evaluator: &Evaluator, roots: &Roots, what: &str) -> Result<Vec<Derived>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(roots.parts.len());
    let next = AtomicUsize::new(0);
    let work = || {
        evaluator.run(|interp| {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = roots.parts.get(index) else { return done };
                done.push((index, of_part(interp, part)));
            }
        })
    };
    let mut done = std::thread::scope(|scope| {
        // One of the threads is this one, which for a single part is the only one.
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in others {
            done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    roots.checked(done.into_iter().map(|(_, one)| one).collect::<Result<Vec<_>, _>>()?, what)
}

impl Roots {
    /// The derivations among the parts; none at all is an error.
    fn checked(&self, derived: Vec<Option<Derived>>, what: &str) -> Result<Vec<Derived>, Error> {
        let derived: Vec<Derived> = derived.into_iter().flatten().collect();
        if derived.is_empty() {
            return Err(Error::Kind {
                what: what.to_owned(),
                found: self.found.to_owned(),
                wanted: "a derivation, or a set or list of derivations, is needed here",
            });
        }
        Ok(derived)
    }
}

/// A part if it is a derivation; other things in a set are no error, as sets carry functions and strings too.
fn of_part(interp: &Interp, (attribute, value): &(String, Value)) -> Result<Option<Derived>, Error> {
    match interp.force(*value)?.kind() {
        Kind::Attrs(attrs) if interp.is_derivation(attrs)? => Ok(Some(one(interp, attrs, attribute.clone())?)),
        _ => Ok(None),
    }
}

pub(crate) fn one(interp: &Interp, attrs: &'static Attrs, attribute: String) -> Result<Derived, Error> {
    let text = |name: &str| -> Result<Option<String>, Error> {
        let Some(value) = attrs.get(Symbol::intern(name)) else { return Ok(None) };
        Ok(Some(interp.force_string(value)?.text().into_owned()))
    };
    let required = |name: &str| -> Result<String, Error> {
        match text(name)? {
            Some(text) => Ok(text),
            None => Err(eval::Error::other(format!("the derivation has no attribute '{name}'")).into()),
        }
    };
    let derivation = required("drvPath")?;
    let derivation = StorePath::from_absolute(&derivation)
        .map_err(|error| eval::Error::other(format!("drvPath '{derivation}': {error}")))?;
    Ok(Derived {
        attribute,
        name: required("name")?,
        output: text("outputName")?.unwrap_or_else(|| "out".to_owned()),
        // A floating output has a placeholder here, which is no store path.
        path: text("outPath")?.and_then(|path| StorePath::from_absolute(path).ok()),
        main_program: main_program(interp, attrs)?,
        systems: systems(interp, attrs)?,
        platforms: Vec::new(),
        derivation,
    })
}

fn systems(interp: &Interp, attrs: &'static Attrs) -> Result<Vec<String>, Error> {
    let Some(value) = attrs.get(Symbol::intern("imageSystems")) else { return Ok(Vec::new()) };
    let Kind::List(list) = interp.force(value)?.kind() else { return Ok(Vec::new()) };
    list.items().iter().map(|item| Ok(interp.force_string(*item)?.text().into_owned())).collect()
}

fn main_program(interp: &Interp, attrs: &'static Attrs) -> Result<Option<String>, Error> {
    let Some(meta) = attrs.get(Symbol::intern("meta")) else { return Ok(None) };
    let Some(program) = interp.force_attrs(meta)?.get(Symbol::intern("mainProgram")) else { return Ok(None) };
    Ok(Some(interp.force_string(program)?.text().into_owned()))
}
