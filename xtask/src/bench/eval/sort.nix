# Sorting 200,000 integers by the builtin order and by a function.
let
  count = 200000;
  scatter = i: let x = i * 7919 + 104729; in x - x / 200003 * 200003;
  numbers = builtins.genList scatter count;
  ascending = builtins.sort builtins.lessThan numbers;
  descending = builtins.sort (a: b: a > b) numbers;
in
[
  (builtins.elemAt ascending 0)
  (builtins.elemAt ascending (count / 2))
  (builtins.elemAt descending 0)
]
