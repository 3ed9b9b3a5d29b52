[
  (import ../data/function.nix 2)
  (import ../data 1)
  (import (../data + "/function.nix") 5)
  ((import ../data/set.nix).a)
]
