//! Equality and order.

use std::cmp::Ordering;

use super::{Interp, access};
use crate::error::{Error, Result};
use crate::heap::{Attrs, Kind, Value};
use crate::symbol::Symbol;

impl Interp {
    /// `==`. Functions are equal to nothing; derivations are equal if their output paths are.
    pub fn equal(&self, left: Value, right: Value) -> Result<bool> {
        self.check_stack()?;
        let (left, right) = (self.force(left)?, self.force(right)?);
        Ok(match (left.kind(), right.kind()) {
            (Kind::Int(a), Kind::Int(b)) => a == b,
            (Kind::Int(a), Kind::Float(b)) | (Kind::Float(b), Kind::Int(a)) => a as f64 == b,
            (Kind::Float(a), Kind::Float(b)) => a == b,
            (Kind::String(a), Kind::String(b)) | (Kind::Path(a), Kind::Path(b)) => a.bytes() == b.bytes(),
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(a), Kind::Bool(b)) => a == b,
            (Kind::List(a), Kind::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.items().iter().zip(b.items()) {
                    if !self.same_or_equal(*a, *b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Kind::Attrs(a), Kind::Attrs(b)) => self.equal_attrs(a, b)?,
            _ => false,
        })
    }

    /// Equality of elements: the very same element is equal to itself, even if it is a function or fails inside. It is
    /// evaluated all the same.
    pub fn same_or_equal(&self, left: Value, right: Value) -> Result<bool> {
        if left == right {
            self.force(left)?;
            return Ok(true);
        }
        self.equal(left, right)
    }

    fn equal_attrs(&self, a: &'static Attrs, b: &'static Attrs) -> Result<bool> {
        if self.is_derivation(a)?
            && self.is_derivation(b)?
            && let (Some(a), Some(b)) = (a.get(Symbol::OUT_PATH), b.get(Symbol::OUT_PATH))
        {
            return self.equal(a, b);
        }
        if a.len() != b.len() {
            return Ok(false);
        }
        // In the order of the symbols, names and values at once, as Nix does it: what comes before the first difference
        // is evaluated, and what comes after it is not.
        for (a, b) in a.iter().zip(b.iter()) {
            if a.name != b.name || !self.same_or_equal(a.value, b.value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `<`, for numbers, strings, paths, and lists of these.
    pub fn less(&self, left: Value, right: Value) -> Result<bool> {
        if let (Some(a), Some(b)) = (left.as_small_int(), right.as_small_int()) {
            return Ok(a < b);
        }
        let (left, right) = (self.force(left)?, self.force(right)?);
        Ok(match (left.kind(), right.kind()) {
            (Kind::Int(a), Kind::Int(b)) => a < b,
            (Kind::Int(a), Kind::Float(b)) => (a as f64) < b,
            (Kind::Float(a), Kind::Int(b)) => a < b as f64,
            (Kind::Float(a), Kind::Float(b)) => a < b,
            (Kind::String(a), Kind::String(b)) | (Kind::Path(a), Kind::Path(b)) => {
                a.bytes().cmp(b.bytes()) == Ordering::Less
            }
            (Kind::List(a), Kind::List(b)) => return self.less_lists(a.items(), b.items()),
            _ => {
                let (left, right) = (access::show(left), access::show(right));
                return Err(Error::type_error(format!("cannot compare {left} with {right}")));
            }
        })
    }

    fn less_lists(&self, a: &[Value], b: &[Value]) -> Result<bool> {
        self.check_stack()?;
        for (a, b) in a.iter().zip(b) {
            if !self.same_or_equal(*a, *b)? {
                return self.less(*a, *b);
            }
        }
        Ok(a.len() < b.len())
    }
}
