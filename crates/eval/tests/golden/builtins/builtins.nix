[
  (builtins ? builtins)
  (builtins.builtins.builtins.add 1 2)
  (builtins.builtins ? nope)
]
