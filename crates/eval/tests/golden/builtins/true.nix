[
  (true)
  (builtins.true)
  (true && !false)
]
