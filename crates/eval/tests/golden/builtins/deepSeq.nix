[
  (builtins.deepSeq { a = [ 1 ]; } 2)
  ((builtins.tryEval (builtins.deepSeq { a = [ (throw "x") ]; } 2)).success)
  (let x = { inherit x; }; in builtins.deepSeq x 3)
]
