[
  (builtins.all (x: x > 1) [ ])
  (builtins.all (x: x > 1) [ 2 3 ])
  (builtins.all (x: x > 1) [ 1 (throw "not evaluated") ])
]
