[
  (builtins.floor 1.8)
  (builtins.floor (-1.2))
  (builtins.floor 3)
  (builtins.floor (-0.5))
  (builtins.typeOf (builtins.floor 2.5))
]
