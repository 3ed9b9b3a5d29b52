[
  (builtins.fromJSON "[1, -1, 1.5, 1e3, -0, 9223372036854775807, 18446744073709551616, -9223372036854775809]")
  (builtins.fromJSON "{\"a\": {\"b\": [true, false, null]}, \"a b\": \"\\u00e9\\ud83d\\ude00\\n\\/\"}")
  (builtins.fromJSON "{\"a\":1,\"a\":2}")
  (builtins.fromJSON "  [ ] ")
  (builtins.fromJSON "{}")
  (builtins.fromJSON "\"\"")
  (builtins.fromJSON "0.1")
]
