[
  (map (x: x + 1) [ 1 2 ])
  (builtins.map throw [ ])
  (builtins.length (map throw [ 1 ]))
]
