# Calls, arithmetic, lists and sorting.
let
  fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2);
  numbers = builtins.genList (i: i * 7919 - i * 7919 / 1009 * 1009) 1000;
in
[
  (fib 15)
  (builtins.elemAt (builtins.sort (a: b: a < b) numbers) 500)
  (builtins.foldl' (sum: i: sum + i) 0 (builtins.filter (i: i > 100) numbers))
  (builtins.length (builtins.foldl' (list: i: list ++ [ i ]) [ ] numbers))
]
