[
  (1 |> (x: x + 1) |> (x: x * 10))
  ((x: x + 1) <| (x: x * 10) <| 1)
  ([ 3 1 2 ] |> builtins.sort builtins.lessThan |> builtins.head)
]
