//! From a Nix expression to a running container.

fn main() {}
