//! Syntax tree to values: the Nix evaluator.
