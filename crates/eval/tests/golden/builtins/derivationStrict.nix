let d = derivationStrict { name = "x"; system = "s"; builder = "b"; }; in [ (builtins.attrNames d) d.drvPath d.out (builtins.getContext d.drvPath) (builtins.getContext d.out) ]
