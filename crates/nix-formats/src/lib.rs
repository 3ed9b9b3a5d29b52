//! Nix's formats: hashes, store paths, derivations, NAR, narinfo, signatures, flake references and locks.
