# Types whose values are evaluated by modules of their own.
{ lib }:
let
  inherit (builtins) isAttrs isPath;
  inherit (lib) isFunction types;

  isModule = x: isAttrs x || isFunction x || isPath x || (builtins.isString x && builtins.substring 0 1 x == "/");
in
rec {
  # A set of options. Definitions are sets of values, or modules where they are functions or files.
  submodule =
    modules:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = lib.toList modules;
    };

  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }@parameters:
    let
      base = lib.evalModules {
        inherit class specialArgs;
        modules = [
          {
            # The name under which a set of submodules holds this one.
            _module.args.name = lib.mkOptionDefault "‹name›";
          }
        ]
        ++ modules;
      };
      freeform = base._module.freeformType;
      asModule =
        def:
        if isAttrs def.value && shorthandOnlyDefinesConfig == true then
          {
            _file = def.file;
            config = def.value;
          }
        else
          lib.setDefaultModuleLocation def.file def.value;
    in
    lib.mkOptionType {
      name = "submodule";
      description =
        if description != null then
          description
        else if freeform != null then
          "open submodule of ${
            if freeform.descriptionClass or null == "noun" then freeform.description else "(${freeform.description})"
          }"
        else
          "submodule";
      descriptionClass = "nonRestrictiveClause";
      check = isModule;
      merge =
        loc: defs:
        (base.extendModules {
          modules = [ { _module.args.name = lib.last loc; } ] ++ map asModule defs;
          prefix = loc;
        }).config;
      emptyValue.value = base.config;
      getSubOptions =
        prefix:
        let
          documented = (base.extendModules { inherit prefix; }).options;
        in
        removeAttrs documented [ "_module" ]
        // lib.optionalAttrs (freeform != null) { _freeformOptions = freeform.getSubOptions prefix; };
      getSubModules = modules;
      substSubModules = m: submoduleWith (parameters // { modules = m; });
      nestedTypes = lib.optionalAttrs (freeform != null) { freeformType = freeform; };
      functor = types.defaultFunctor "submodule" // {
        type = submoduleWith;
        rebuild = submoduleWith;
        payload = {
          inherit
            modules
            class
            specialArgs
            shorthandOnlyDefinesConfig
            description
            ;
        };
        binOp = mergeParameters;
      };
    };

  # A module that is kept as it is, to be imported somewhere else.
  deferredModule = deferredModuleWith { };
  deferredModuleWith =
    {
      staticModules ? [ ],
    }:
    lib.mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = isModule;
      merge = loc: defs: {
        imports = staticModules ++ map (def: lib.setDefaultModuleLocation "${def.file}, via option ${lib.showOption loc}" def.value) defs;
      };
      getSubOptions = (submoduleWith { modules = staticModules; }).getSubOptions;
      getSubModules = staticModules;
      substSubModules = m: deferredModuleWith { staticModules = m; };
      functor = types.defaultFunctor "deferredModuleWith" // {
        type = deferredModuleWith;
        rebuild = deferredModuleWith;
        payload = { inherit staticModules; };
        binOp = a: b: { staticModules = a.staticModules ++ b.staticModules; };
      };
    };

  # Two declarations of one set of submodules are one with both's modules.
  mergeParameters =
    a: b:
    let
      same =
        name:
        if a.${name} == null then
          b.${name}
        else if b.${name} == null || a.${name} == b.${name} then
          a.${name}
        else
          throw "A submodule option is declared multiple times with conflicting ${name} values";
      collisions = builtins.attrNames (builtins.intersectAttrs a.specialArgs b.specialArgs);
    in
    {
      modules = a.modules ++ b.modules;
      specialArgs =
        if collisions == [ ] then
          a.specialArgs // b.specialArgs
        else
          throw "A submodule option is declared multiple times with the same specialArgs ${toString collisions}";
      class = same "class";
      description = same "description";
      shorthandOnlyDefinesConfig = same "shorthandOnlyDefinesConfig";
    };
}
