//! The builders `builtin:oci-…`, which make images as any derivation makes its output.

mod assemble;
mod base;
mod definition;
mod nix_db;
mod oci_bundle;
mod oci_image;

pub use oci_bundle::OciBundle;
pub use oci_image::OciImage;
