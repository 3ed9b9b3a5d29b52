[
  (builtins.toJSON { b = [ 1 true null "x\ty\"\\" ]; a = { }; })
  (builtins.toJSON { outPath = "o"; x = throw "not used"; })
  (builtins.toJSON { __toString = self: "s" + self.x; x = "y"; })
  (builtins.toJSON "é\r\n<>/")
  (builtins.toJSON (-5))
  (builtins.toJSON ../data/one.txt)
  (builtins.toJSON [ [ ] [ [ ] ] ])
  (builtins.getContext (builtins.toJSON [ "plain" ]))
  (builtins.toJSON 1.5)
]
