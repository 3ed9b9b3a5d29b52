# What stands for nixpkgs' `pkgs/build-support/docker`: Wharf's own functions, with the packages of that nixpkgs.
{
  # The store path of the running binary's tree, and the system it runs on.
  wharf,
  system,
  # The digests of base images.
  pins,
}:

let
  own = import ./default.nix { inherit wharf system; };
in

# nixpkgs calls this by `callPackage`. The arguments are in all its releases; those with a default in some.
{
  stdenv,
  runCommand,
  coreutils,
  cacert,
  shadow,
  bash,
  bashInteractive ? bash,
  runtimeShell ? stdenv.shell,
  fakeNss ? null,
}:

import ./docker-tools.nix {
  inherit (own) lib wharf userland;
  inherit pins system runCommand coreutils cacert shadow bashInteractive runtimeShell fakeNss;
  imageSystem = stdenv.hostPlatform.system or stdenv.system;
}
