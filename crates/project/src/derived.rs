//! Derivations found in a value.

use eval::{Attrs, Interp, Kind, Symbol, Value};
use nix_formats::store_path::StorePath;

use crate::error::Error;

/// A derivation in a value, by what the value itself says of it.
#[derive(Clone, Debug)]
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
}

/// Collects the derivations of a value: itself, or those in a set or list of them.
pub(crate) fn collect(interp: &Interp, value: Value, what: &str) -> Result<Vec<Derived>, Error> {
    let mut found = Vec::new();
    let value = interp.force(value)?;
    match value.kind() {
        Kind::Attrs(attrs) if interp.is_derivation(attrs)? => found.push(one(interp, attrs, String::new())?),
        Kind::Attrs(attrs) => {
            for attr in attrs.by_name() {
                add(interp, attr.value, attr.name.text().into_owned(), &mut found)?;
            }
        }
        Kind::List(list) => {
            for (index, item) in list.items().iter().enumerate() {
                add(interp, *item, index.to_string(), &mut found)?;
            }
        }
        _ => {}
    }
    if found.is_empty() {
        return Err(Error::Kind {
            what: what.to_owned(),
            found: value.describe().to_owned(),
            wanted: "a derivation, or a set or list of derivations, is needed here",
        });
    }
    Ok(found)
}

/// Takes what is a derivation; other things in a set are no error, as sets carry functions and strings too.
fn add(interp: &Interp, value: Value, attribute: String, found: &mut Vec<Derived>) -> Result<(), Error> {
    if let Kind::Attrs(attrs) = interp.force(value)?.kind()
        && interp.is_derivation(attrs)?
    {
        found.push(one(interp, attrs, attribute)?);
    }
    Ok(())
}

fn one(interp: &Interp, attrs: &'static Attrs, attribute: String) -> Result<Derived, Error> {
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
        derivation,
    })
}

fn main_program(interp: &Interp, attrs: &'static Attrs) -> Result<Option<String>, Error> {
    let Some(meta) = attrs.get(Symbol::intern("meta")) else { return Ok(None) };
    let Some(program) = interp.force_attrs(meta)?.get(Symbol::intern("mainProgram")) else { return Ok(None) };
    Ok(Some(interp.force_string(program)?.text().into_owned()))
}
