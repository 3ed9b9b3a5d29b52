[
  ((x: y: x - y) 5 3)
  (({ a, b ? a + 1 }: a + b) { a = 1; })
  (({ a, ... }@all: all.b) { a = 1; b = 2; })
  ((all@{ a ? 7, ... }: all) { b = 2; })
  (let f = { __functor = self: x: x + self.n; n = 3; }; in f 4)
  ((x: x) (x: x) 3)
  (({ a ? b, b ? 2 }: a) { })
  (let f = a: b: c: a + b + c; g = f 1 2; in [ (g 3) (g 4) ])
  ((f: f (f 2)) (x: x * x))
  (let fix = f: let x = f x; in x; in (fix (self: { a = 1; b = self.a + 1; })).b)
]
