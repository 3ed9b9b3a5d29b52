[
  (let a = 1; b = a + 1; in b)
  (let a = b; b = c; c = 3; in a)
  (let { x = 1; y = x + 1; body = y; })
  (let inherit ({ p = 1; q = 2; }) p q; in p + q)
  (let a.b = 1; a.c = 2; in a)
  (let or = 1; f = x: x; in f or)
  (let __sub = a: b: "mine"; in 5 - 3)
  (let __lessThan = a: b: a; in 5 < 3)
  (let __findFile = a: b: b; __nixPath = 1; in <x/y>)
]
