//! One file for each command: its arguments, and what it does with them.

pub(crate) mod build;
pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod instantiate;
pub(crate) mod layer;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod man;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod render;
pub(crate) mod repl;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod store;
pub(crate) mod tags;
pub(crate) mod userland;
