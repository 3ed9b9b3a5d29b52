[
  (builtins.pathExists <data>)
  (import <data/set.nix>)
]
