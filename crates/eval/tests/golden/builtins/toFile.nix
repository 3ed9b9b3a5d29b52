let f = builtins.toFile "foo" "bar"; g = builtins.toFile "g" "uses ${f}"; in [ f g (builtins.attrValues (builtins.getContext g)) ]
