[
  (builtins.genericClosure { startSet = [ { key = 1; } ]; operator = x: if x.key < 20 then [ { key = x.key * 2; } { key = x.key * 3; } ] else [ ]; })
  (builtins.genericClosure { startSet = [ ]; operator = throw; })
  (map (x: x.key) (builtins.genericClosure { startSet = [ { key = "b"; } { key = "a"; } { key = "b"; } ]; operator = x: [ ]; }))
]
