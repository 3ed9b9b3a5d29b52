let
  node = inputs: { inherit inputs; };
  lock = {
    root = "root";
    nodes = {
      root.inputs = { dep = "dep"; other = [ "dep" "data" ]; child = "child"; };
      dep.inputs = { data = "data"; up = [ ]; };
      data = { flake = false; };
      child = { locked = { type = "path"; path = "sub"; }; parent = [ "dep" ]; };
    };
  };
  source = name: { sourceInfo = { outPath = ../data/flakes + "/${name}"; rev = "rev of ${name}"; }; dir = ""; };
  flake = import ../../../src/builtins/call-flake.nix {
    inherit lock;
    sources = { root = source "root"; dep = source "dep"; data = source "data"; };
  };
in [ flake.answer flake._type flake.rev (builtins.attrNames flake.inputs) flake.outputs.name (baseNameOf flake.outPath) ]
