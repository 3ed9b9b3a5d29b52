builtins.fromTOML ''
  title = "x"
  int = 0x1F
  big = 9223372036854775807
  float = 6.5e-1
  bool = true
  multi = """
  a\
     b"""
  lit = 'C:\x'
  dotted.a.b = 1
  arr = [ 1, [ 2 ], { c = 3 } ]
  [table]
  k = 1
  [[list]]
  n = 1
  [[list]]
  n = 2
''
