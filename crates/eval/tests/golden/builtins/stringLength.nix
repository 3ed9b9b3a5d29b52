[
  (builtins.stringLength "")
  (builtins.stringLength "é")
  (builtins.stringLength "a\nb")
]
