[
  (builtins.toXML 0.1)
  (builtins.toXML 1234567.891)
  (builtins.toXML "a<b>&\"'\n\t")
  (builtins.toXML { type = "derivation"; drvPath = "/x"; outPath = "/y"; a = { type = "derivation"; drvPath = "/x"; outPath = "/y"; }; })
  (builtins.toXML builtins.map)
  (builtins.toXML { "a b<" = 1; })
  (builtins.toXML (args@{ a }: a))
  (builtins.getContext (builtins.toXML [ "${builtins.toFile "b" "c"}" ]))
]
