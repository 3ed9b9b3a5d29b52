//! The names of a session.

use std::collections::HashMap;

use eval::{Symbol, Value};

/// Names with their values, in the order in which they came.
#[derive(Default)]
pub(super) struct Scope {
    names: Vec<(Symbol, Value)>,
    places: HashMap<Symbol, usize>,
}

impl Scope {
    /// Gives a name a value, in place of the one that it had.
    pub(super) fn set(&mut self, name: Symbol, value: Value) {
        match self.places.get(&name) {
            Some(place) => self.names[*place].1 = value,
            None => {
                self.places.insert(name, self.names.len());
                self.names.push((name, value));
            }
        }
    }

    /// All of them, as the evaluator takes them.
    pub(super) fn names(&self) -> &[(Symbol, Value)] {
        &self.names
    }
}
