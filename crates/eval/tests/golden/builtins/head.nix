[
  (builtins.head [ 1 2 ])
  (builtins.head [ 1 (throw "lazy") ])
]
