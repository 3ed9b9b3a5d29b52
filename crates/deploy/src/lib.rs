//! Container definitions to deployments: `containers.<name>`, once evaluated, becomes the manifests of a target.
//!
//! ```text
//! containers.nix ──project──► JSON ──► Definition ─┐
//!                     images by digest ────────────┴─► render ──► files and warnings
//! ```
//!
//! Layer: above the images, which it knows by reference and digest only. Architecture invariant: `deploy` knows neither
//! evaluator nor store nor network: everything here is a pure function of plain data, so that the same definition gives
//! the same bytes on every machine.
//!
//! What a target makes of an option is said in one table ([`support`]), which documentation is printed from. Rendering
//! consults it, so that nothing that a definition says is dropped silently: an option is honoured, emulated, warned
//! about, or an error.

mod check;

pub mod ci;
mod compose;
mod definition;
mod kubernetes;
mod nix_value;
mod nixos;
mod podman;
mod quadlet;
mod quantity;
mod render;
mod replicas;
mod support;
mod yaml;

pub use check::Problem;
pub use definition::{
    AutoStart, BindMount, Capabilities, Container, Definition, DefinitionError, Dependency, Device, Health,
    HealthCheck, HealthCondition, HttpCheck, Ingress, Port, Protocol, Replicas, Resources, Restart, Secret, Volume,
};
pub use render::{Images, RenderError, RenderOptions, RenderedFile, Rendering, ResolvedImage, Target, Warning, render};
pub use support::{OptionRow, Support, options, support};
