//! Which variable a name means, while compiling.

use syntax::Name;

use crate::ir::Bindings;

/// The scopes around the expression that is being compiled. One level is one environment of the interpreter.
pub(super) struct Scopes {
    /// For each name of the tree, what binds it, innermost last.
    bindings: Vec<Vec<Slot>>,
    levels: Vec<Level>,
    /// The levels that belong to a `with`.
    withs: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Slot {
    level: u32,
    slot: u32,
    lazy: Option<Lazy>,
}

/// A variable of a `let`: what it is bound to, and the slot of the first of its bindings.
#[derive(Clone, Copy)]
pub(super) struct Lazy {
    pub(super) bindings: &'static Bindings,
    pub(super) first: u32,
}

/// What a name means.
pub(super) struct Found {
    pub(super) depth: u32,
    pub(super) slot: u32,
    pub(super) lazy: Option<Lazy>,
}

/// One environment: what it binds, to be unbound at its end, and how many variables it has.
#[derive(Default)]
struct Level {
    bound: Vec<Name>,
    slots: u32,
    is_with: bool,
}

impl Scopes {
    pub(super) fn new(names: usize) -> Scopes {
        Scopes { bindings: vec![Vec::new(); names], levels: Vec::new(), withs: Vec::new() }
    }

    pub(super) fn enter_scope(&mut self) {
        self.levels.push(Level::default());
    }

    pub(super) fn enter_with(&mut self) {
        self.withs.push(self.levels.len() as u32);
        self.levels.push(Level { is_with: true, slots: 1, ..Level::default() });
    }

    /// Ends the innermost scope. Returns how many variables it has.
    pub(super) fn leave(&mut self) -> u32 {
        let level = self.levels.pop().expect("scopes are left as often as entered");
        if level.is_with {
            self.withs.pop();
        }
        for name in level.bound {
            self.bindings[name.0 as usize].pop();
        }
        level.slots
    }

    /// Makes `name` mean a slot of the innermost scope.
    pub(super) fn bind(&mut self, name: Name, slot: u32) {
        self.bind_slot(name, slot, None);
    }

    /// Makes `name` mean a slot of the innermost scope that is filled when it is first needed.
    pub(super) fn bind_lazy(&mut self, name: Name, slot: u32, lazy: Lazy) {
        self.bind_slot(name, slot, Some(lazy));
    }

    fn bind_slot(&mut self, name: Name, slot: u32, lazy: Option<Lazy>) {
        let level = self.levels.len() as u32 - 1;
        self.bindings[name.0 as usize].push(Slot { level, slot, lazy });
        let innermost = self.levels.last_mut().expect("a scope is open");
        innermost.bound.push(name);
        innermost.slots = innermost.slots.max(slot + 1);
    }

    /// Takes slots of the innermost scope for what has no name.
    pub(super) fn reserve(&mut self, slots: u32) {
        self.levels.last_mut().expect("a scope is open").slots += slots;
    }

    /// Ends the meaning of the names that were bound last in the innermost scope, down to `count` of them, while
    /// their slots stay in use.
    pub(super) fn unbind_to(&mut self, count: usize) {
        let innermost = self.levels.last_mut().expect("a scope is open");
        for name in innermost.bound.drain(count..) {
            self.bindings[name.0 as usize].pop();
        }
    }

    /// How many names the innermost scope binds.
    pub(super) fn bound_count(&self) -> usize {
        self.levels.last().map_or(0, |level| level.bound.len())
    }

    /// The next free slot of the innermost scope.
    pub(super) fn next_slot(&self) -> u32 {
        self.levels.last().map_or(0, |level| level.slots)
    }

    /// What a name means, if a scope binds it.
    pub(super) fn find(&self, name: Name) -> Option<Found> {
        let Slot { level, slot, lazy } = *self.bindings[name.0 as usize].last()?;
        Some(Found { depth: self.levels.len() as u32 - 1 - level, slot, lazy })
    }

    /// Whether a scope binds the name.
    pub(super) fn binds(&self, name: Name) -> bool {
        !self.bindings[name.0 as usize].is_empty()
    }

    /// How many levels up each `with` is, innermost first.
    pub(super) fn withs(&self) -> Vec<u32> {
        let top = self.levels.len() as u32 - 1;
        self.withs.iter().rev().map(|level| top - level).collect()
    }

    /// The names that scopes bind.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        let bound = self.bindings.iter().enumerate().filter(|(_, slots)| !slots.is_empty());
        bound.map(|(index, _)| Name(index as u32))
    }
}
