# The values of the cases of this directory, as { lib-cases; module-cases; } of plain data; "<fails>" where a case fails.
{
  lib ? import ../lib,
}:
let
  value =
    v:
    let
      result = builtins.tryEval (builtins.toJSON v);
    in
    if result.success then builtins.fromJSON result.value else "<fails>";
  evaluate =
    case:
    let
      args = if builtins.isList case then { modules = case; } else removeAttrs case [ "get" ];
    in
    (case.get or (r: r.config)) (lib.evalModules args);
in
{
  lib-cases = builtins.mapAttrs (_: builtins.mapAttrs (_: value)) (import ./lib-cases.nix { inherit lib; });
  module-cases = builtins.mapAttrs (_: case: value (evaluate case)) (import ./module-cases.nix { inherit lib; });
}
