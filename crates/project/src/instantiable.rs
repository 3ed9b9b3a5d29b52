//! What `nix-instantiate` finds in a value: `getDerivations` of C++ Nix.

use std::collections::HashSet;

use eval::{Attrs, Interp, Kind, Symbol, Value};

use crate::derived::{self, Derived};
use crate::error::Error;

/// The derivations in a value, in Nix's order: the value itself, or those of a set or a list, and of the sets in it that
/// say so with `recurseForDerivations`. Functions are called with `args` where they name their arguments.
///
/// # Errors
/// An evaluation fails, or the value is neither a derivation nor a set or a list.
pub fn instantiable(interp: &Interp, value: Value, args: &'static Attrs) -> Result<Vec<Derived>, Error> {
    let mut finding = Finding { interp, args, seen: HashSet::new(), found: Vec::new() };
    finding.descend(value, "")?;
    Ok(finding.found)
}

struct Finding<'a> {
    interp: &'a Interp,
    args: &'static Attrs,
    /// The derivations that were found, by their address: one that several names lead to is given once.
    seen: HashSet<usize>,
    found: Vec<Derived>,
}

impl Finding<'_> {
    /// Goes into a value that is no derivation.
    fn descend(&mut self, value: Value, path: &str) -> Result<(), Error> {
        let value = self.interp.auto_call(value, self.args)?;
        if self.take(value, path)? {
            return Ok(());
        }
        match value.kind() {
            Kind::Attrs(attrs) => self.set(attrs, path),
            Kind::List(list) => {
                for (index, item) in list.items().iter().enumerate() {
                    let path = below(path, &index.to_string());
                    if !self.take(*item, &path)? {
                        self.descend(*item, &path)?;
                    }
                }
                Ok(())
            }
            _ => Err(eval::Error::type_error(format!(
                "expected a derivation, or a set or list of those, but found {}",
                value.describe()
            ))
            .into()),
        }
    }

    fn set(&mut self, attrs: &'static Attrs, path: &str) -> Result<(), Error> {
        let combines = attrs.get(Symbol::intern("_combineChannels")).is_some();
        for attr in attrs.by_name().filter(|attr| is_plain(attr.name.bytes())) {
            let path = below(path, &attr.name.text());
            if combines {
                self.descend(attr.value, &path)?;
            } else if !self.take(attr.value, &path)?
                && let Kind::Attrs(inner) = self.interp.force(attr.value)?.kind()
                && let Some(flag) = inner.get(Symbol::RECURSE_FOR_DERIVATIONS)
                && self.interp.force_bool(flag)?
            {
                self.descend(attr.value, &path)?;
            }
        }
        Ok(())
    }

    /// Takes a value if it is a derivation.
    fn take(&mut self, value: Value, path: &str) -> Result<bool, Error> {
        let Kind::Attrs(attrs) = self.interp.force(value)?.kind() else { return Ok(false) };
        if !self.interp.is_derivation(attrs)? {
            return Ok(false);
        }
        if self.seen.insert(std::ptr::from_ref(attrs).addr()) {
            self.found.push(derived::one(self.interp, attrs, path.to_owned())?);
        }
        Ok(true)
    }
}

/// Other names are not looked at, as they could not be written in a path.
fn is_plain(name: &[u8]) -> bool {
    let begins = name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    begins && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(byte))
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
