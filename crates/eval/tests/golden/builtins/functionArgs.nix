[
  (builtins.functionArgs ({ a, b ? 1, ... }: a))
  (builtins.functionArgs (x: x))
  (builtins.functionArgs ({ }: 1))
  (builtins.functionArgs builtins.add)
  (builtins.functionArgs ((a: { b, c ? 2 }: a) 1))
]
