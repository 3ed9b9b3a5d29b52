let
  drv = derivation { name = "a"; system = "x"; builder = "b"; };
  s = builtins.appendContext "x" { ${builtins.unsafeDiscardStringContext drv.drvPath} = { outputs = [ "out" ]; allOutputs = true; }; "/nix/store/ssssssssssssssssssssssssssssssss-src" = { path = true; }; };
in [ s (builtins.getContext s) (builtins.appendContext "y" { }) ]
