[
  (builtins.sub 1 2)
  (builtins.sub 1.5 1)
  (__sub 3 (-3))
]
