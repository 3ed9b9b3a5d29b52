[
  (builtins.pathExists ../data/one.txt)
  (builtins.pathExists ../data/none)
  (builtins.pathExists ../data)
  (builtins.pathExists (toString ../data + "/one.txt"))
  (builtins.pathExists (toString ../data/one.txt + "/"))
]
