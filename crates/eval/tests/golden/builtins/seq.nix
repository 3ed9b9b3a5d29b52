[
  (builtins.seq 1 2)
  (builtins.seq { a = throw "lazy"; } 3)
  ((builtins.tryEval (builtins.seq (throw "x") 2)).success)
]
