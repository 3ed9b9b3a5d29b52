[
  (builtins.readFileType ../data/one.txt)
  (builtins.readFileType ../data/tree)
  (builtins.readFileType ../data/tree/link)
]
