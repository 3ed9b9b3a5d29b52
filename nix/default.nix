# The built-in package set: what a container definition can use where the project has locked no nixpkgs.
#
#   wharf     the store path of the tree whose bin/wharf is the running program, a string with its context; every
#             build's shell and utilities come from it, so nothing has to be downloaded
#   system    the platform that is built for, as "x86_64-linux"
#   overlays  functions final: prev: { … }, as nixpkgs takes them
#   pins      the digests of base images by NAME:TAG, as wharf.lock has them
#   config    nixpkgs' configuration; the set has no option of its own, definitions may read theirs from it
#
# Names, arguments and results are those of nixpkgs.
{
  wharf,
  system,
  overlays ? [ ],
  config ? { },
  pins ? { },
}:
let
  lib = import ./lib;

  base = final: {
    _type = "pkgs";
    inherit
      lib
      system
      config
      overlays
      ;
    path = ./.;
    hostPlatform = lib.systems.elaborate system;
    buildPlatform = final.hostPlatform;
    targetPlatform = final.hostPlatform;

    pkgs = final;
    newScope = extra: lib.callPackageWith (final // extra);
    callPackage = final.newScope { };
    callPackages = lib.callPackagesWith final;
    appendOverlays = more: extended (overlays ++ more);
    extend = overlay: final.appendOverlays [ overlay ];
    buildPackages = final;
    targetPackages = final;
    pkgsBuildBuild = final;
    pkgsBuildHost = final;

    wharf = import ./wharf.nix { inherit lib wharf system; };
    userland = import ./userland.nix { inherit lib system; inherit (final) wharf; };

    # The programs of the userland under the names of the packages that have them in nixpkgs.
    bash = final.userland;
    bashInteractive = final.userland;
    bashNonInteractive = final.userland;
    busybox = final.userland;
    coreutils = final.userland;
    diffutils = final.userland;
    findutils = final.userland;
    gnugrep = final.userland;
    gnused = final.userland;
    gnutar = final.userland;
    gzip = final.userland;
    xz = final.userland;
    zstd = final.userland;
    runtimeShell = "${final.userland}/bin/bash";
    runtimeShellPackage = final.userland;

    stdenvNoCC = import ./stdenv { inherit lib system; inherit (final) userland hostPlatform; };
    # There is no compiler in the set, and `stdenv.cc` is missing accordingly.
    stdenv = final.stdenvNoCC;

    cacert = import ./cacert.nix { inherit lib system; inherit (final) wharf; };

    dockerTools = final.callPackage ./docker-tools.nix { inherit pins; };
    ociTools = final.callPackage ./oci-tools.nix { };
  }
  // import ./builders/commands.nix { inherit lib final; }
  // import ./builders/text.nix { inherit lib final; }
  // import ./builders/trees.nix { inherit lib final; }
  // import ./builders/fetchers.nix { inherit lib final; }
  // import ./builders/formats.nix { inherit lib final; }
  // {
    inherit (lib) makeOverridable;
  };

  extended = overlays: lib.fix (lib.foldl' (lib.flip lib.extends) base overlays);
in
extended overlays
