//! Store objects to OCI images: layers, configuration, manifest, archives.
//!
//! Layer: above `store` and `build`, below `runtime` and `distribution`. It must never know a registry's protocol, a
//! terminal, or how an expression is evaluated; it never writes a layer that it can stream again.

pub mod archive;
mod builtin;
mod cache;
pub mod command;
pub mod compare;
mod compress;
mod config;
mod description;
mod digest;
mod docker;
mod elsewhere;
mod error;
mod files;
pub mod flatten;
mod image;
pub mod inspect;
mod layer;
pub mod layout;
pub mod media;
mod objects;
mod open;
pub mod ownership;
mod pack;
mod packer;
mod pipeline;
pub mod plan;
pub mod platforms;
mod popularity;
mod reference_graph;
mod root_changes;
mod root_tree;
mod sink;
mod stream;
pub mod survey;
pub mod tar;
mod tree;
pub mod why;
mod without_store;

pub use builtin::{OciBundle, OciExport, OciImage, OciMerge, OciRoot, builtins};
pub use cache::{Blob, LayerCache};
pub use compress::{Compression, Encoder};
pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use digest::{Digest, DigestError, Hashing};
pub use docker::Selection;
pub use error::ImageError;
pub use files::{Files, Location};
pub use image::Image;
pub use layer::{Layer, Source};
pub use objects::{Objects, Resolved};
pub use open::streamed_image;
pub use pack::{Head, Owner, Pack, Permission, RootDirectory, Style};
pub use sink::{LayerSink, SinkBlob};
pub use stream::BlobReader;
pub use without_store::WithoutStore;
