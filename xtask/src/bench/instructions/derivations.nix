# Derivations that depend on each other.
let
  make = i: derivation {
    name = "step-${toString i}";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo ${toString i} > $out" ];
    inputs = if i == 0 then [ ] else [ (make (i - 1)) ];
    variables = "a b c";
  };
in
(make 40).drvPath
