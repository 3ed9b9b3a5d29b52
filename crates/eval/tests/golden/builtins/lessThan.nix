[
  (builtins.lessThan 1 2)
  (builtins.lessThan 2 1)
  (builtins.lessThan 1 1.5)
  (builtins.lessThan "a" "b")
  (builtins.lessThan "a" "aa")
  ([ 1 2 ] < [ 1 3 ])
  ([ ] < [ 1 ])
  ([ 1 ] < [ ])
  (/a < /b)
  ("a" >= "b")
  (1.0 <= 1)
]
