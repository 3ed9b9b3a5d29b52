[
  (if 1 < 2 then "a" else throw "lazy")
  (assert true; 5)
  (with { a = 1; b = 2; }; a + b)
  (let a = 1; in with { a = 2; }; a)
  (with { a = 1; }; with { a = 2; }; a)
  (with { b = 1; }; let b = 2; in with { b = 3; }; b)
  (with throw "lazy"; 1)
]
