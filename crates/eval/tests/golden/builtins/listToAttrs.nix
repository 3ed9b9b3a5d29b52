[
  (builtins.listToAttrs [ ])
  (builtins.listToAttrs [ { name = "a"; value = 1; } { name = "b"; value = throw "lazy"; } { name = "a"; value = 2; } ] // { b = 0; })
  (builtins.listToAttrs [ { name = "a"; value = 1; } { name = "a"; } ])
]
