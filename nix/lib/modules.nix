# Evaluation of modules: collecting them along their imports, merging their declarations of options, and giving each
# option the value that its definitions make.
#
# Laziness is part of the contract: which options exist depends only on `imports` and `options`, so that any definition
# may look at any option's value.
{ lib }:
let
  inherit (builtins)
    addErrorContext
    all
    attrNames
    concatLists
    concatMap
    elem
    filter
    genericClosure
    head
    isAttrs
    isString
    length
    mapAttrs
    seq
    zipAttrsWith
    ;
  inherit (lib)
    isFunction
    isOption
    mkOption
    optional
    showDefs
    showOption
    types
    ;

  # What may stand beside `config` and `options` at the top of a module.
  structural = [
    "_class"
    "_file"
    "_prefix"
    "key"
    "disabledModules"
    "imports"
    "options"
    "config"
    "meta"
    "freeformType"
  ];

  # The options that every evaluation has, for modules to steer it.
  internalModule =
    { prefix, specialArgs }:
    {
      _file = "lib/modules.nix";
      key = "lib/modules.nix";
      options._module = {
        args = mkOption {
          type = types.lazyAttrsOf types.raw;
          internal = prefix != [ ];
          description = "Additional arguments for every module. They may depend on `config`, so `imports` cannot use them.";
        };
        check = mkOption {
          type = types.bool;
          internal = true;
          default = true;
          description = "Whether definitions of options that nobody declares are errors.";
        };
        freeformType = mkOption {
          type = types.nullOr types.optionType;
          internal = true;
          default = null;
          description = "The type that definitions of undeclared options are merged by, if there may be any.";
        };
        specialArgs = mkOption {
          readOnly = true;
          internal = true;
          type = types.raw;
          description = "The arguments given to `evalModules` as `specialArgs`.";
        };
      };
      config._module = { inherit specialArgs; };
    };
in
rec {
  # Evaluates modules. Gives { config, options, _module, class, type, extendModules }.
  evalModules =
    {
      modules,
      prefix ? [ ],
      specialArgs ? { },
      class ? null,
      # The older names of `_module.args` and `_module.check`.
      args ? { },
      check ? null,
    }@evalArgs:
    let
      given = optional (args != { } || check != null) {
        _file = "lib.evalModules";
        config._module = lib.optionalAttrs (check != null) { check = lib.mkOptionDefault check; } // {
          inherit args;
        };
      };
      moduleArgs = {
        inherit
          lib
          config
          options
          specialArgs
          ;
        _class = class;
        _prefix = prefix;
      }
      // specialArgs;

      collected = collectModules class (specialArgs.modulesPath or "") (
        modules ++ given ++ [ (internalModule { inherit prefix specialArgs; }) ]
      ) moduleArgs;

      merged = mergeModules prefix (lib.reverseList collected);
      options = merged.matchedOptions;
      declared = mapAttrs (_: configOf) options;

      freeformType = declared._module.freeformType;
      freeform =
        let
          defs = map (def: {
            inherit (def) file;
            value = lib.setAttrByPath (lib.drop (length prefix) def.loc) def.value;
          }) merged.unmatchedDefns;
        in
        if defs == [ ] then { } else freeformType.merge prefix defs;
      whole = if freeformType == null then declared else lib.recursiveUpdate freeform declared;

      checked = if declared._module.check && freeformType == null then refuseUnmatched prefix options merged.unmatchedDefns else true;
      # What modules see is not checked: the check looks at definitions, which may look at any option.
      config = whole;

      extendModules =
        extra:
        evalModules (
          evalArgs
          // {
            modules = modules ++ extra.modules or [ ];
            specialArgs = specialArgs // extra.specialArgs or { };
            prefix = extra.prefix or prefix;
          }
        );
    in
    {
      inherit extendModules class;
      options = seq checked options;
      config = seq checked (removeAttrs whole [ "_module" ]);
      inherit (declared) _module;
      _type = "configuration";
      type = types.submoduleWith { inherit modules specialArgs class; };
    };

  # The modules that are reached through imports, each once, without the disabled ones, as
  # { _file, key, options, config, … } in the order of a breadth-first walk.
  collectModules =
    class: modulesPath: modules: args:
    let
      load =
        parentFile: parentKey: n: module:
        let
          isFile = isString module || builtins.isPath module;
          fallbackKey = "${parentKey}:anon-${toString n}";
          loaded =
            if isAttrs module && module._type or null == "configuration" then
              throw "A configuration (the result of `evalModules') is imported at ${parentFile} as if it were a module; import its modules instead."
            else if isFile then
              unifyModuleSyntax (toString module) (toString module) (
                applyModuleArgsIfFunction (toString module) (import module) args
              )
            else if isAttrs module || isFunction module then
              unifyModuleSyntax parentFile fallbackKey (applyModuleArgsIfFunction fallbackKey module args)
            else
              throw "Module imported from ${parentFile} is neither a set, a function nor a path, but ${builtins.typeOf module}.";
          ok = checkClass class loaded;
        in
        addErrorContext "while evaluating the module ${loaded._file or parentFile}:" ok;

      node = parentFile: parentKey: n: module: rec {
        module' = load parentFile parentKey n module;
        key = module'.key;
        children = lib.imap1 (node module'._file key) module'.imports;
      };
      roots = lib.imap1 (node lib.unknownModule "") modules;
      walk =
        refused:
        genericClosure {
          startSet = filter (n: !(elem n.key refused)) roots;
          operator = n: filter (c: !(elem c.key refused)) n.children;
        };

      # A module can be disabled by path, by path below `modulesPath`, or by key.
      keyOf =
        file: disabled:
        if isString disabled && builtins.substring 0 1 disabled != "/" then
          toString modulesPath + "/" + disabled
        else if isString disabled || builtins.isPath disabled then
          toString disabled
        else if isAttrs disabled && disabled ? key then
          disabled.key
        else
          throw "`disabledModules' in ${file} holds ${builtins.typeOf disabled}; it takes paths, strings and modules with a `key'.";
      all' = walk [ ];
      disabled = concatMap (n: map (keyOf n.module'._file) n.module'.disabledModules) all';
    in
    map (n: n.module') (if disabled == [ ] then all' else walk disabled);

  # A module in its long form.
  unifyModuleSyntax =
    file: key: m:
    let
      long = m ? config || m ? options;
      extra = removeAttrs m structural;
      configOnly = removeAttrs m [
        "_class"
        "_file"
        "key"
        "disabledModules"
        "imports"
        "freeformType"
      ];
      _file = toString (m._file or file);
      freeform = optional (m ? freeformType) { _module.freeformType = m.freeformType; };
      metaDef = optional (long && m ? meta) { inherit (m) meta; };
      withExtra = base: if freeform ++ metaDef == [ ] then base else lib.mkMerge ([ base ] ++ freeform ++ metaDef);
    in
    if !isAttrs m then
      throw "Module ${file} does not look like a module: it is ${builtins.typeOf m}, not a set."
    else if m._type or null == "if" || m._type or null == "merge" || m._type or null == "override" then
      throw "Module `${_file}' is a `${m._type}' property as a whole; put it around the attributes of `config' instead."
    else if long && extra != { } then
      throw "Module `${_file}' has an unsupported attribute `${head (attrNames extra)}'. A module with `config' or `options' at its top has its definitions under `config': move them there."
    else
      {
        inherit _file;
        key = toString (m.key or key);
        disabledModules = m.disabledModules or [ ];
        imports = m.imports or [ ];
        options = m.options or { };
        config = withExtra (if long then m.config or { } else configOnly);
        _class = m._class or null;
      };

  checkClass =
    class: m:
    if class != null && m._class != null && m._class != class then
      throw "The module ${m._file} is of class \"${m._class}\", but is imported into a configuration of class \"${class}\"."
    else
      m;

  applyModuleArgsIfFunction = key: f: args: if isFunction f then applyModuleArgs key f args else f;

  # A named argument that the evaluation does not give comes from `_module.args`.
  applyModuleArgs =
    key: f: args:
    let
      fromModules =
        name: _:
        addErrorContext "while evaluating the module argument `${name}' in \"${key}\":" (
          args.${name} or args.config._module.args.${name}
            or (throw "The module ${key} takes an argument `${name}', which neither `specialArgs' nor `_module.args' defines.")
        );
    in
    f (mapAttrs fromModules (lib.functionArgs f) // args);

  setDefaultModuleLocation = file: m: {
    _file = file;
    imports = [ m ];
  };

  importApply = file: staticArgs: setDefaultModuleLocation file (import file staticArgs);

  # Merges the modules at a location into { matchedOptions, unmatchedDefns }.
  mergeModules =
    prefix: modules:
    mergeModules' prefix modules (map (m: { file = m._file; value = m.config; }) modules);

  mergeModules' =
    prefix: modules: defs:
    let
      declsByName = zipAttrsWith (_: lib.id) (
        map (
          m:
          if isAttrs m.options then
            mapAttrs (_: option: {
              inherit (m) _file;
              options = option;
            }) m.options
          else
            throw "The options at `${showOption prefix}' in ${m._file} are ${builtins.typeOf m.options}, not a set."
        ) modules
      );
      defsByName = definitionsByName prefix defs;
      matched = mapAttrs (name: mergeAt (prefix ++ [ name ]) (defsByName.${name} or [ ])) declsByName;
      undeclared = removeAttrs defsByName (attrNames declsByName);
    in
    {
      matchedOptions = mapAttrs (_: m: m.options) matched;
      unmatchedDefns =
        concatLists (lib.mapAttrsToList (_: m: m.unmatched) matched)
        ++ concatLists (lib.mapAttrsToList (name: map (def: def // { loc = prefix ++ [ name ]; })) undeclared);
    };

  # What the declarations at one name make: an option, or a set of further options.
  mergeAt =
    loc: defs: decls:
    let
      isOpt = decl: isOption decl.options;
      nested = filter (d: !isOpt d) decls;
      opts = filter isOpt decls;
      # Options declared inside an option of submodules extend the submodule.
      asSubmodule = decl: {
        inherit (decl) _file;
        options = mkOption {
          type = types.submoduleWith {
            # Null leaves the choice to the other declaration.
            shorthandOnlyDefinesConfig = null;
            modules = [ { options = decl.options; } ];
          };
        };
      };
      takesOptions = (lib.head opts).options.type or { } ? getSubModules && (lib.head opts).options.type.getSubModules != null;
      tree = mergeModules' loc decls defs;
    in
    if nested == [ ] then
      {
        options = evalOptionValue loc (mergeOptionDecls loc decls) defs;
        unmatched = [ ];
      }
    else if opts == [ ] then
      {
        options = tree.matchedOptions;
        unmatched = tree.unmatchedDefns;
      }
    else if length opts == 1 && takesOptions then
      mergeAt loc defs (opts ++ map asSubmodule nested)
    else
      throw "The option `${showOption loc}' in ${lib.showFiles (map (d: d._file) opts)} would be a parent of options declared in ${lib.showFiles (map (d: d._file) nested)}, but its type `${(head opts).options.type.description or "unspecified"}' does not support nested options.";

  # Definitions at a location, each set taken apart by its names.
  definitionsByName =
    loc: defs:
    zipAttrsWith (_: concatLists) (
      concatMap (
        def:
        map (
          set:
          if isAttrs set && !(lib.isDerivation set) then
            mapAttrs (_: value: [
              {
                inherit (def) file;
                inherit value;
              }
            ]) set
          else
            throw "The module `${def.file}' defines `${showOption loc}' as ${
              if isAttrs set then "a package" else builtins.typeOf set
            }, but it is a set of options."
        ) (lib.pushDownProperties def.value)
      ) defs
    );

  # One declaration of the several that modules make of the same option.
  mergeOptionDecls =
    loc: decls:
    let
      files = map (d: d._file) decls;
      clash = name: length (filter (d: d.options ? ${name}) decls) > 1;
      # The submodules of a type, with the declaring file as the place of those without one of their own.
      located =
        decl:
        let
          type = decl.options.type or null;
          sub = type.getSubModules or null;
        in
        if type == null || sub == null then type else type.substSubModules (map (setDefaultModuleLocation decl._file) sub);
      clashes = filter clash [
        "default"
        "defaultText"
        "example"
        "description"
        "apply"
      ];
      mergedType = builtins.foldl' (
        t: decl:
        let
          next = located decl;
          both = t.typeMerge next.functor;
        in
        if t == null then
          next
        else if next == null then
          t
        else if both != null then
          both
        else
          throw "The option `${showOption loc}' in ${lib.showFiles files} is declared with types that cannot be merged: `${t.description}' and `${next.description}'."
      ) null decls;
      combined = builtins.foldl' (acc: decl: acc // decl.options) { } decls;
    in
    if clashes != [ ] then
      throw "The option `${showOption loc}' is declared more than once, in ${lib.showFiles files}, with `${head clashes}' in more than one of them."
    else
      combined
      // {
        type = if mergedType == null then types.unspecified else mergedType;
        inherit loc;
        declarations = files;
      };

  # The option with its value and what led to it.
  evalOptionValue =
    loc: opt: defs:
    let
      default = optional (opt ? default) {
        file = head opt.declarations;
        value = lib.mkOptionDefault opt.default;
      };
      allDefs = default ++ defs;
      result =
        if opt.readOnly or false && length allDefs > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${
            showDefs (map (def: def // { value = (mergeDefinitions loc opt.type [ def ]).mergedValue; }) allDefs)
          }"
        else
          mergeDefinitions loc opt.type allDefs;
      value = if opt ? apply then opt.apply result.mergedValue else result.mergedValue;
    in
    opt
    // {
      value = addErrorContext "while evaluating the option `${showOption loc}':" value;
      inherit (result) isDefined;
      highestPrio = result.highestPrio;
      definitions = map (def: def.value) result.defsFinal;
      files = map (def: def.file) result.defsFinal;
      definitionsWithLocations = result.defsFinal;
      __toString = _: showOption loc;
    };

  # Definitions of one type at one location, resolved and merged.
  mergeDefinitions =
    loc: type: defs:
    rec {
      defsFinal' =
        let
          discharged = concatMap (
            def:
            map (
              value:
              if value._type or "" == "definition" then
                { inherit (value) file value; }
              else
                {
                  inherit (def) file;
                  inherit value;
                }
            ) (lib.dischargeProperties def.value)
          ) defs;
          kept = lib.filterOverrides' discharged;
        in
        {
          values = lib.sortProperties kept.values;
          inherit (kept) highestPrio;
        };
      defsFinal = defsFinal'.values;
      inherit (defsFinal') highestPrio;
      isDefined = defsFinal != [ ];
      mergedValue =
        if !isDefined then
          if type.emptyValue ? value then
            type.emptyValue.value
          else
            throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option."
        else if all (def: type.check def.value) defsFinal then
          type.merge loc defsFinal
        else
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${
            showDefs (filter (def: !type.check def.value) defsFinal)
          }";
      optionalValue = lib.optionalAttrs isDefined { value = mergedValue; };
    };

  # Options that nobody declares: the first one, with near names.
  refuseUnmatched =
    prefix: options: unmatched:
    let
      first = head unmatched;
      parent = lib.attrByPath (lib.init (lib.drop (length prefix) first.loc)) { } options;
      siblings = if isOption parent then [ ] else attrNames (removeAttrs parent [ "_module" ]);
      near = filter (lib.levenshteinAtMost 3 (lib.last first.loc)) siblings;
      hint =
        if near != [ ] then
          "\n\nDid you mean ${lib.concatMapStringsSep " or " (n: "`${showOption (lib.init first.loc ++ [ n ])}'") near}?"
        else if siblings != [ ] && length siblings <= 30 then
          "\n\nThe options there are: ${lib.concatStringsSep ", " siblings}."
        else
          "";
    in
    if unmatched == [ ] then
      true
    else
      throw "The option `${showOption first.loc}' does not exist. Definition values:${showDefs [ first ]}${hint}";

  # The values of a tree of options.
  configOf = tree: if isOption tree then tree.value else mapAttrs (_: configOf) tree;

  importJSON = file: {
    _file = file;
    config = lib.trivial.importJSON file;
  };
  importTOML = file: {
    _file = file;
    config = lib.trivial.importTOML file;
  };
}
