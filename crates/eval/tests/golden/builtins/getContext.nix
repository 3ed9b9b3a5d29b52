let
  drv = derivation { name = "a"; system = "x"; builder = "b"; outputs = [ "out" "lib" ]; };
  clean = s: map (v: v) (builtins.attrValues (builtins.getContext s));
in [ (builtins.getContext "plain") (clean "${drv}") (clean "${drv.lib}${drv}") (clean drv.drvPath) (clean "${../data/one.txt}") ]
