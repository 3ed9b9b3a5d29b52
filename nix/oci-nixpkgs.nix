# What stands for nixpkgs' `pkgs/build-support/oci-tools`: Wharf's own function.
{ wharf, system, pins }:

# nixpkgs calls this by `callPackage`.
{ stdenv }:

import ./oci-tools.nix {
  inherit ((import ./default.nix { inherit wharf system pins; })) lib;
  system = stdenv.hostPlatform.system or stdenv.system;
}
