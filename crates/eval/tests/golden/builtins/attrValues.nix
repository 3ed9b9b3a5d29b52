[
  (builtins.attrValues { })
  (builtins.attrValues { b = 1; a = 2; "" = 0; })
]
