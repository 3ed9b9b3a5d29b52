//! Derivation graph to store objects.
//!
//! Layer: above `store`, which keeps what is built, and `sandbox`, in which builders run; below `image`, `distribution`
//! and `project`, which bring builders of their own as a [`Builtin`].
//!
//! Architecture invariant: this crate knows derivations, not how they come to be (no evaluation) nor what their outputs
//! mean (no images). It does not read the environment: what a build may take from there is given to it.

mod attributes;
mod builtin;

pub use attributes::{AttributeError, Attributes};
pub use builtin::{Builtin, BuiltinContext, BuiltinError, BuiltinOutput};
