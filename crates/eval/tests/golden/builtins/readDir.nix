[
  (builtins.readDir ../data/tree)
  (builtins.readDir ../data/tree/sub)
]
