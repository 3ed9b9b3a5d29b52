[
  ((x: 1) (throw "lazy"))
  (let x = throw "lazy"; in 1)
  (builtins.length [ (throw "a") (throw "b") ])
  ({ a = throw "lazy"; b = 1; }.b)
  (let xs = [ 1 ] ++ xs2; xs2 = [ 2 ]; in xs)
  (let l = { a = 1; b = l.a; }; in l.b)
]
