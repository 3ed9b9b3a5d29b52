let
  check = n: if n > 3 then throw "${toString n} is too many" else n;
  sum = list: builtins.foldl' (a: b: a + check b) 0 list;
in { total = sum [ 1 2 5 ]; }.total
