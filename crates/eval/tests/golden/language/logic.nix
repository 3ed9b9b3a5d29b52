[
  (true && false)
  (false && throw "lazy")
  (true || throw "lazy")
  (false -> throw "lazy")
  (true -> false)
  (!true == false)
]
