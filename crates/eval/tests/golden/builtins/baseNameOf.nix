[
  (baseNameOf "/a/b/c")
  (baseNameOf "/a/b/")
  (baseNameOf "a")
  (baseNameOf "")
  (baseNameOf "/")
  (baseNameOf /a/b.c)
]
