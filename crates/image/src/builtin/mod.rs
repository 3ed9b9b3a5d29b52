//! The builders `builtin:oci-…`, which make images as any derivation makes its output.

mod assemble;
mod base;
mod commands;
mod definition;
mod nix_db;
mod oci_bundle;
mod oci_image;
mod oci_root;
mod transport;

use std::sync::Arc;

use build::Builtin;

use crate::cache::LayerCache;
use crate::sink::LayerSink;

pub(crate) use assemble::{Inputs, object_of};
pub(crate) use definition::{Definition, Layers};
pub use oci_bundle::OciBundle;
pub(crate) use oci_image::Making;
pub use oci_image::OciImage;
pub use oci_root::OciRoot;
pub use transport::{OciExport, OciMerge};

/// Every builder of images; they remember digests of layers in `cache`, and give layers that are new to `sink`.
pub fn builtins(cache: &LayerCache, sink: Option<Arc<dyn LayerSink>>) -> Vec<Box<dyn Builtin>> {
    vec![
        Box::new(OciImage::new(cache.clone()).with_sink(sink)),
        Box::new(OciBundle),
        Box::new(OciRoot),
        Box::new(OciMerge::new(cache.clone())),
        Box::new(OciExport),
    ]
}
