import ./none.nix
