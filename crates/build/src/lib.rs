//! Derivation graph to store objects.
