[
  (builtins.ceil 1.2)
  (builtins.ceil (-1.2))
  (builtins.ceil 3)
  (builtins.ceil 0.0)
  (builtins.typeOf (builtins.ceil 2.5))
]
