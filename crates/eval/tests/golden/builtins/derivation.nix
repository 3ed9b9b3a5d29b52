let d = derivation { name = "x"; system = "s"; builder = "b"; outputs = [ "out" "dev" ]; args = [ "1" 2 ]; n = null; t = true; f = false; l = [ 1 "a" ]; p = 1.5; }; in
[ d.drvPath d.outPath d.dev.outPath d.out.outputName d.type d.outputName (builtins.attrNames d) d.drvAttrs.args "${d}" "${d.dev}" (builtins.length d.all) ]
