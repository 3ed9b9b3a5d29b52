[
  (builtins.hasAttr "a" { a = throw "lazy"; })
  (builtins.hasAttr "b" { a = 1; })
  ({ a.b = 1; } ? a.b)
  ({ a = 1; } ? a.b)
  ({ } ? ${"a"})
]
