[
  (1 == 1.0)
  ("a" != "b")
  ([ 1 [ 2 ] ] == [ 1 [ 2 ] ])
  ({ a = 1; b = { }; } == { b = { }; a = 1; })
  ((x: x) == (x: x))
  (null == false)
  (let f = x: x; in f == f)
  (let f = x: x; in { a = f; } == { a = f; })
  ({ type = "derivation"; outPath = "a"; x = 1; } == { type = "derivation"; outPath = "a"; x = 2; })
  (1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3)
  ("ab" < "b")
]
