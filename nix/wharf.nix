# The running program as a package: an object that is in the store already.
{
  lib,
  wharf,
  system,
}:
let
  self = {
    type = "derivation";
    name = "wharf";
    pname = "wharf";
    version = lib.trivial.version;
    inherit system;
    outPath = wharf;
    # No derivation makes it: its recipe is the object itself.
    outputs = [ "out" ];
    outputName = "out";
    out = self;
    all = [ self ];
    meta = {
      description = "Nix containers from expression to service";
      mainProgram = "wharf";
      license = lib.licenses.asl20;
      priority = lib.meta.defaultPriority;
    };
  };
in
self
