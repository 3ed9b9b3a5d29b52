[
  (null)
  (builtins.null)
  (null == builtins.null)
]
