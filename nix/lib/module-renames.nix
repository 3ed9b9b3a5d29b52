# Modules that keep configurations working when options move, change or go.
{ lib }:
let
  inherit (lib)
    getAttrFromPath
    mkOption
    setAttrByPath
    showOption
    types
    ;

  warningIf = cond: text: { warnings = lib.optional cond text; };
in
rec {
  mkRemovedOptionModule =
    path: replacement:
    { options, ... }:
    {
      options = setAttrByPath path (mkOption {
        visible = false;
        apply = _: throw "The option `${showOption path}' can no longer be used since it's been removed. ${replacement}";
      });
      config.assertions =
        let
          opt = getAttrFromPath path options;
        in
        [
          {
            assertion = !opt.isDefined;
            message = "The option definition `${showOption path}' in ${lib.showFiles opt.files} no longer has any effect; please remove it.\n${replacement}";
          }
        ];
    };

  mkRenamedOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = false;
      warn = true;
      use = lib.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  # As mkRenamedOptionModule, quiet until the release that the old name leaves in.
  mkRenamedOptionModuleWith =
    {
      from,
      to,
      sinceRelease,
    }:
    doRename {
      inherit from to;
      visible = false;
      warn = lib.oldestSupportedReleaseIsAtLeast sinceRelease;
      use = lib.warnIf (lib.oldestSupportedReleaseIsAtLeast sinceRelease) "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  mkAliasOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = true;
      warn = false;
      use = lib.id;
    };
  mkAliasOptionModuleMD = mkAliasOptionModule;

  # Several old options whose values together make one new one.
  mkMergedOptionModule =
    from: to: mergeFn:
    { config, options, ... }:
    let
      used = builtins.filter (path: lib.attrByPath (path ++ [ "isDefined" ]) false options) from;
      placeholder = path: setAttrByPath path (mkOption {
        visible = false;
        # What stands where nothing is defined, so that the merge function can look at every old option.
        default = "_mkMergedOptionModule";
      });
      defined = path: getAttrFromPath path config != "_mkMergedOptionModule";
      set = builtins.filter defined used;
    in
    {
      options = builtins.foldl' lib.recursiveUpdate { } (map placeholder from);
      config = lib.mkMerge [
        (warningIf (set != [ ]) (
          lib.concatMapStringsSep "\n" (
            path:
            "The option `${showOption path}' defined in ${lib.showFiles (getAttrFromPath path options).files} has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly."
          ) set
        ))
        (lib.mkIf (set != [ ]) (setAttrByPath to (mergeFn config)))
      ];
    };

  mkChangedOptionModule =
    from: to: changeFn:
    mkMergedOptionModule [ from ] to changeFn;

  doRename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { config, options, ... }:
    let
      fromOpt = getAttrFromPath from options;
      toOpt = lib.attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.") options;
      toType = toOpt.type or (types.submodule { });
    in
    {
      options = setAttrByPath from (
        mkOption {
          inherit visible;
          description = "Alias of {option}`${showOption to}`.";
          apply = _: use (lib.attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.") config);
        }
        // lib.optionalAttrs (toType != null) { type = toType; }
      );
      config = lib.mkIf condition (
        lib.mkMerge [
          (lib.optionalAttrs (options ? warnings) (
            warningIf (warn && fromOpt.isDefined) "The option `${showOption from}' defined in ${lib.showFiles fromOpt.files} has been renamed to `${showOption to}'."
          ))
          (
            if withPriority then
              lib.mkAliasAndWrapDefsWithPriority (setAttrByPath to) fromOpt
            else
              lib.mkAliasAndWrapDefinitions (setAttrByPath to) fromOpt
          )
        ]
      );
    };
}
