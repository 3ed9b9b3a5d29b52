[
  (builtins.partition (x: x > 2) [ 1 4 2 3 ])
  (builtins.partition throw [ ])
]
