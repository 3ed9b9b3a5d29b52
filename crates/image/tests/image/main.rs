//! The crate as its users see it, against the programs that images are made for.

mod archives;
mod build;
mod chunked;
mod layers;
mod stable;
mod support;
