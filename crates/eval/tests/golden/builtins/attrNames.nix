[
  (builtins.attrNames { })
  (builtins.attrNames { b = 1; a = throw "lazy"; "10" = 2; "9" = 3; Z = 4; })
  (builtins.attrNames ({ a = 1; b = 2; } // { c = 3; a = 4; }))
]
