# The standard environment without a compiler: `mkDerivation` with nixpkgs' phases, run by the userland's shell.
{
  lib,
  system,
  userland,
  hostPlatform,
}:
let
  # A text of its own in the store: the set itself may be inside the program, where no builder can read it.
  setup = builtins.toFile "setup.sh" (builtins.readFile ./setup.sh);
  shell = "${userland}/bin/bash";

  # What stays on the package and does not reach the builder.
  outside = [
    "meta"
    "passthru"
    "pos"
    "derivationArgs"
    "stdenv"
    "strictDeps"
    "enableParallelBuilding"
    "__darwinAllowLocalNetworking"
  ];
  inputs = [
    "nativeBuildInputs"
    "buildInputs"
    "propagatedBuildInputs"
    "propagatedNativeBuildInputs"
  ];

  nameOf =
    attrs:
    attrs.name or (
      if attrs ? pname then
        "${attrs.pname}${lib.optionalString (attrs ? version) "-${attrs.version}"}"
      else
        throw "mkDerivation: the package has neither `name' nor `pname'"
    );

  # Development outputs of what is built with; plain paths stay as they are.
  inputList = list: map (p: if lib.isDerivation p then lib.getDev p else p) (lib.flatten list);

  builderArgs =
    attrs:
    removeAttrs attrs outside
    // lib.mapAttrs (_: inputList) (lib.getAttrs (lib.intersectLists inputs (lib.attrNames attrs)) attrs)
    // {
      name = nameOf attrs;
      system = attrs.system or system;
      builder = attrs.builder or shell;
      args =
        attrs.args or [
          "-e"
          setup
        ];
      initialPath = [ userland ];
    }
    # Structured attributes are a file, so this cannot be asked of the environment there.
    // lib.optionalAttrs (attrs.__structuredAttrs or false) { inherit setup; };

  finish =
    attrs: drv: overrideAttrs:
    lib.extendDerivation true (
      {
        inherit overrideAttrs;
        name = nameOf attrs;
        meta = {
          name = nameOf attrs;
          outputsToInstall =
            let
              outputs = attrs.outputs or [ "out" ];
              first = lib.findFirst (o: lib.elem o outputs) (lib.head outputs) [
                "bin"
                "out"
              ];
            in
            [ first ] ++ lib.optional (lib.elem "man" outputs) "man";
        }
        // lib.optionalAttrs (attrs ? pos && attrs.pos != null) { position = "${attrs.pos.file}:${toString attrs.pos.line}"; }
        // attrs.meta or { };
        passthru = attrs.passthru or { };
      }
      // lib.getAttrs (lib.intersectLists [ "pname" "version" "src" ] (lib.attrNames attrs)) attrs
      // attrs.passthru or { }
    ) drv;

  # The argument may be a function of the finished package, which overrides reach too.
  mkDerivation =
    attrsOrFunction:
    let
      attrsOf = lib.toFunction attrsOrFunction;
      attrs = attrsOf final;
      final = finish attrs (derivation (builderArgs attrs)) (
        change:
        mkDerivation (
          finalAttrs:
          let
            old = attrsOf finalAttrs;
            overlay = lib.toExtension change;
          in
          old // overlay finalAttrs old
        )
      );
    in
    final;
in
{
  name = "stdenv-no-cc";
  inherit
    mkDerivation
    system
    hostPlatform
    shell
    setup
    ;
  buildPlatform = hostPlatform;
  targetPlatform = hostPlatform;
  inherit (hostPlatform) isLinux isDarwin isx86_64 isAarch64 is64bit;
  initialPath = [ userland ];
  shellDryRun = "${shell} -n -O extglob";
  hasCC = false;
}
