[
  (builtins.sort builtins.lessThan [ 3 1 2 ])
  (builtins.sort (a: b: a > b) [ 3 1 2 ])
  (builtins.sort builtins.lessThan [ "b" "a" "" ])
  (builtins.sort (a: b: a.k < b.k) [ { k = 1; n = 1; } { k = 0; n = 2; } { k = 1; n = 3; } { k = 0; n = 4; } ])
  (builtins.sort throw [ ])
  (builtins.sort throw [ 1 ])
]
