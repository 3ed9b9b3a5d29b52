[
  (builtins.splitVersion "1.2.3")
  (builtins.splitVersion "1.2.-3ab4")
  (builtins.splitVersion "")
  (builtins.splitVersion "pre1")
  (builtins.splitVersion "1a2b")
]
