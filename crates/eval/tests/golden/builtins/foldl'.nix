[
  (builtins.foldl' (a: b: a + b) 0 [ 1 2 3 ])
  (builtins.foldl' (a: b: b + a) "" [ "a" "b" ])
  (builtins.foldl' (a: b: b) (throw "never used") [ 1 ])
  (builtins.foldl' throw 5 [ ])
]
