[
  (builtins.filter (x: x > 1) [ 1 2 3 0 ])
  (builtins.filter (x: true) [ ])
  (builtins.length (builtins.filter (x: true) [ (throw "lazy") ]))
]
