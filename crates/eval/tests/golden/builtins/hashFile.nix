[
  (builtins.hashFile "sha256" ../data/one.txt)
  (builtins.hashFile "md5" ../data/one.txt)
]
