[
  (/a/b/../c/./d)
  (/a + "/b")
  (/a + "b")
  (/a/b + /c)
  (/a/${"b"}/c)
  (/a/b${"c"}.d)
  (builtins.typeOf ../data)
  (toString (/a/b + "/../c"))
  (../data/${"one.txt"} == ../data/one.txt)
  (~/x)
  (/. + "a")
  (dirOf (/a + "/b/c"))
]
