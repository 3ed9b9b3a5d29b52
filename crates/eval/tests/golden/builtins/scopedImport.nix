[
  (scopedImport { x = 5; } ../data/scoped.nix)
  (scopedImport { x = 1; toString = y: "shadowed"; } ../data/scoped.nix)
]
