[
  (builtins.any (x: x > 1) [ ])
  (builtins.any (x: x > 1) [ 2 (throw "not evaluated") ])
  (builtins.any (x: x > 1) [ 0 1 ])
]
