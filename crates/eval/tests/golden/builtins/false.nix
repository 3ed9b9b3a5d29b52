[
  (false)
  (builtins.false)
  (!builtins.false)
]
