# Packages that can be called with other arguments, and sets of packages that call each other.
{ lib }:
let
  inherit (builtins) attrNames intersectAttrs isAttrs;
in
rec {
  # The result of f, with `override` to call f again with some arguments changed.
  makeOverridable =
    f:
    lib.mirrorFunctionArgs f (
      args:
      let
        result = f args;
        changed = new: args // (if lib.isFunction new then new args else new);
        again = g: makeOverridable (lib.mirrorFunctionArgs f g);
        override = lib.mirrorFunctionArgs f (new: makeOverridable f (changed new));
        overriding = {
          inherit override;
          overrideDerivation = g: again (a: overrideDerivation (f a) g) args;
        };
      in
      if isAttrs result then
        result
        // overriding
        // lib.optionalAttrs (result ? overrideAttrs) {
          overrideAttrs = g: again (a: (f a).overrideAttrs g) args;
        }
      else if lib.isFunction result then
        lib.setFunctionArgs result (lib.functionArgs result) // { inherit override; }
      else
        result
    );

  overrideDerivation =
    drv: f:
    let
      new = derivation (drv.drvAttrs // f drv);
    in
    new
    // {
      meta = drv.meta or { };
      passthru = drv.passthru or { };
    }
    // drv.passthru or { };

  # Calls a function, or the function in a file, with what it asks for by name from a set.
  callPackageWith =
    autoArgs: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      wanted = lib.functionArgs f;
      found = intersectAttrs wanted autoArgs // args;
      missing = builtins.filter (name: !wanted.${name} && !(found ? ${name})) (attrNames wanted);
      where =
        let
          pos = builtins.unsafeGetAttrPos (builtins.head missing) wanted;
        in
        if pos != null then
          " at ${pos.file}:${toString pos.line}"
        else if !lib.isFunction fn then
          " in ${toString fn}"
        else
          "";
      near = builtins.filter (lib.levenshteinAtMost 2 (builtins.head missing)) (attrNames (autoArgs // args));
      hint = lib.optionalString (near != [ ]) ", did you mean ${lib.concatMapStringsSep " or " (n: "\"${n}\"") (lib.take 3 near)}?";
    in
    if missing == [ ] then
      makeOverridable f found
    else
      throw "lib.customisation.callPackageWith: Function called without required argument \"${builtins.head missing}\"${where}${hint}";

  callPackagesWith =
    autoArgs: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      all = intersectAttrs (lib.functionArgs f) autoArgs // args;
      made = makeOverridable f all;
      pick = name: made.override or (_: made);
    in
    if lib.isDerivation (f all) then
      throw "function `callPackages` was called on a *single* derivation \"${made.name or "<unknown-name>"}\"; did you mean to use `callPackage` instead?"
    else
      lib.mapAttrs (name: value: value // { override = new: (pick name new).${name}; }) (removeAttrs (f all) [ "override" "overrideDerivation" ]);

  # More attributes on a package and on each of its outputs, usable only under a condition.
  extendDerivation =
    condition: passthru: drv:
    let
      outputs = drv.outputs or [ "out" ];
      common = drv // lib.genAttrs outputs output // { all = map output outputs; } // passthru;
      output =
        name:
        common
        // {
          inherit (drv.${name}) type outputName;
          outputSpecified = true;
          drvPath = assert condition; drv.${name}.drvPath;
          outPath = assert condition; drv.${name}.outPath;
        }
        // lib.optionalAttrs (drv ? meta) { inherit (drv) meta; };
    in
    common
    // {
      drvPath = assert condition; drv.drvPath;
      outPath = assert condition; drv.outPath;
    };

  hydraJob = drv: if drv == null then null else { inherit (drv) name drvPath outPath type; meta = drv.meta or { }; };

  # A set of packages whose functions find each other, extensible by overlays.
  makeScope =
    newScope: f:
    let
      self = f self // {
        newScope = scope: newScope (self // scope);
        callPackage = self.newScope { };
        overrideScope = overlay: makeScope newScope (lib.extends overlay f);
        packages = f;
      };
    in
    self;
}
