# The image functions of nixpkgs' `dockerTools`: same names, arguments and defaults. An image is a derivation like any
# other; its builder is part of Wharf and assembles it straight from store objects.
{
  # The functions of Wharf's own set, whatever set the images are defined with.
  lib,
  # The system that builds.
  system,
  # The system that images are for unless they say otherwise.
  imageSystem ? system,
  # The digests of base images by NAME:TAG, as wharf.lock has them.
  pins ? { },
  # Packages of Wharf's own set: `wharf` has bin/wharf, `userland` has bin/sh and the core utilities.
  wharf,
  userland,
  # Packages and builders of the set that images are defined with.
  bashInteractive,
  cacert,
  coreutils,
  runCommand,
  runtimeShell,
  # Programs such as useradd; Wharf has small ones of its own.
  shadow ? null,
  # The users root and nobody, where the set has them.
  fakeNss ? null,
}:

let
  goArchitectures = {
    x86_64-linux = "amd64";
    aarch64-linux = "arm64";
    i686-linux = "386";
    armv7l-linux = "arm";
    armv6l-linux = "arm";
    powerpc64le-linux = "ppc64le";
    riscv64-linux = "riscv64";
    s390x-linux = "s390x";
  };
  defaultArchitecture = goArchitectures.${imageSystem} or (throw "no image architecture is known for the system ${imageSystem}");

  # What cannot have a meaning here is said, not dropped.
  withoutGuest =
    function: option: default: value: result:
    if value == default then
      result
    else
      builtins.trace "warning: ${function}: ${option} has no effect: Wharf runs commands without a virtual machine" result;

  derivations = import ./docker-derivation.nix {
    inherit lib system;
    architectures = goArchitectures;
  };
  customise = import ./docker-customise.nix { inherit system wharf userland runCommand runtimeShell coreutils; };
  extras = import ./docker-extras.nix {
    inherit lib;
    inherit (roots) makeFakeNss;
  };
  images = import ./docker-images.nix {
    inherit lib system userland wharf runCommand derivations customise extras defaultArchitecture withoutGuest;
  };
  roots = import ./docker-roots.nix { inherit system userland bashInteractive coreutils cacert shadow fakeNss runtimeShell; };
  transport = import ./docker-transport.nix { inherit pins system defaultArchitecture withoutGuest; };
  nixShell = import ./docker-nix-shell.nix {
    inherit lib system userland bashInteractive cacert;
    inherit (roots) binSh usrBinEnv fakeNss;
    inherit (images) streamLayeredImage buildLayeredImage;
  };
in

images // transport // removeAttrs roots [ "makeFakeNss" ] // nixShell
