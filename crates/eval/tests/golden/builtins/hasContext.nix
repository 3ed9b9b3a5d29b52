[
  (builtins.hasContext "a")
  (builtins.hasContext "${../data/one.txt}")
  (builtins.hasContext (toString ../data/one.txt))
  (builtins.hasContext (baseNameOf "${../data/one.txt}"))
]
