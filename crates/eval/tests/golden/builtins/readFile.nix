[
  (builtins.readFile ../data/one.txt)
  (builtins.hasContext (builtins.readFile ../data/one.txt))
  (builtins.stringLength (builtins.readFile ../data/empty.txt))
]
