//! Runs real containers. The image is made here: layers of static busybox and a few files, as an OCI layout.

mod behaviour;
mod endings;
mod image_files;
mod layers;
mod outside;
