# What packages say of themselves, and their place among others.
{ lib }:
{
  defaultPriority = 5;

  addMetaAttrs = new: package: if package ? overrideAttrs then package.overrideAttrs (old: { meta = old.meta or { } // new; }) else package // { meta = package.meta or { } // new; };
  setName = name: package: package // { inherit name; };
  updateName = f: package: package // { name = f package.name; };
  appendToName =
    suffix:
    lib.updateName (
      name:
      let
        parsed = builtins.parseDrvName name;
      in
      "${parsed.name}-${suffix}-${parsed.version}"
    );
  mapDerivationAttrset = f: set: builtins.mapAttrs (_: v: if lib.isDerivation v then f v else v) set;

  # A lower number wins where two packages hold the same file.
  setPrio = priority: lib.addMetaAttrs { inherit priority; };
  lowPrio = lib.setPrio 10;
  hiPrio = lib.setPrio (-10);
  lowPrioSet = lib.mapDerivationAttrset lib.lowPrio;
  hiPrioSet = lib.mapDerivationAttrset lib.hiPrio;

  # The package's main program, by `meta.mainProgram`, else by the package's name.
  getExe =
    package:
    lib.getExe' package (
      package.meta.mainProgram
        or (lib.warn "getExe: Package ${
          lib.strings.escapeNixIdentifier (package.meta.name or package.pname or package.name)
        } does not have the meta.mainProgram attribute. We'll assume that the main program has the same name for now, but this behavior is deprecated." (lib.getName package))
    );
  getExe' =
    package: program:
    if builtins.isString program then
      if builtins.match ".*/.*" program == null then
        "${lib.getBin package}/bin/${program}"
      else
        throw "lib.meta.getExe': The second argument \"${program}\" is a nested path with a \"/\" character, but it should just be the name of the executable instead."
    else
      throw "lib.meta.getExe': The second argument is of type ${builtins.typeOf program}, but it should be a string instead.";

  platformMatch =
    platform: pattern: if builtins.isString pattern then platform.system == pattern else lib.matchAttrs pattern platform;
  availableOn =
    platform: package:
    (!(package ? meta.platforms) || lib.any (lib.platformMatch platform) package.meta.platforms)
    && lib.all (p: !lib.platformMatch platform p) (package.meta.badPlatforms or [ ]);

  getLicenseFromSpdxId = id: lib.getLicenseFromSpdxIdOr id (lib.warn "getLicenseFromSpdxId: No license matches the given SPDX ID: ${id}" { shortName = id; });
  getLicenseFromSpdxIdOr =
    let
      bySpdx = lib.listToAttrs (
        map (l: lib.nameValuePair (lib.toLower l.spdxId) l) (lib.attrValues lib.licenses)
      );
    in
    id: default: bySpdx.${lib.toLower id} or default;
}
