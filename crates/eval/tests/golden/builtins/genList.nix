[
  (builtins.genList (x: x * x) 5)
  (builtins.genList throw 0)
  (builtins.length (builtins.genList throw 3))
]
