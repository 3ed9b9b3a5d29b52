[
  (builtins.substring 0 3 "hello")
  (builtins.substring 1 100 "hello")
  (builtins.substring 3 (-1) "hello")
  (builtins.substring 5 1 "hello")
  (builtins.substring 10 1 "hello")
  (builtins.substring 0 0 "hello")
  (builtins.stringLength (builtins.substring 1 1 "é"))
  (builtins.hasContext (builtins.substring 0 0 "${../data/one.txt}"))
]
