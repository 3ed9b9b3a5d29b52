//! Nix text to a syntax tree with spans.
