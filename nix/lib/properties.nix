# Properties: what a module says *about* a definition (its condition, priority, order), and how they are resolved.
#
# A property is a set whose `_type` is "if", "merge", "override", "order" or "definition". They may stand around any part
# of a module's configuration; `pushDownProperties` moves them from a set to its attributes, and `mergeDefinitions`
# (modules.nix) resolves them where they reach an option.
{ lib }:
let
  inherit (builtins) concatMap mapAttrs;
  typeOf = v: v._type or "";
in
rec {
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkAssert = assertion: message: content: mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;
  mkDefinition = args: args // { _type = "definition"; };

  # Of several definitions those with the lowest number count.
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkFixStrictness = lib.id;

  # Definitions of lists and lines are joined in rising order.
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  mkAfter = mkOrder 1500;

  # The sets of definitions inside a set with properties around it: [ { name = definition; } ].
  pushDownProperties =
    value:
    {
      merge = concatMap pushDownProperties value.contents;
      "if" = map (mapAttrs (_: mkIf value.condition)) (pushDownProperties value.content);
      override = map (mapAttrs (_: mkOverride value.priority)) (pushDownProperties value.content);
      order = map (mapAttrs (_: mkOrder value.priority)) (pushDownProperties value.content);
    }
    .${typeOf value} or [ value ];

  # The definitions that remain of one when its conditions are decided.
  dischargeProperties =
    value:
    {
      merge = concatMap dischargeProperties value.contents;
      "if" =
        if !builtins.isBool value.condition then
          throw "‘mkIf’ called with a non-Boolean condition"
        else if value.condition then
          dischargeProperties value.content
        else
          [ ];
    }
    .${typeOf value} or [ value ];

  filterOverrides = defs: (filterOverrides' defs).values;
  filterOverrides' =
    defs:
    let
      priorityOf = def: if typeOf def.value == "override" then def.value.priority else defaultOverridePriority;
      highestPrio = builtins.foldl' (best: def: lib.min (priorityOf def) best) 9999 defs;
      content = def: if typeOf def.value == "override" then def // { value = def.value.content; } else def;
    in
    {
      values = concatMap (def: lib.optional (priorityOf def == highestPrio) (content def)) defs;
      inherit highestPrio;
    };

  sortProperties =
    defs:
    let
      ordered =
        def:
        if typeOf def.value == "order" then
          def
          // {
            value = def.value.content;
            inherit (def.value) priority;
          }
        else
          def;
      priority = def: def.priority or defaultOrderPriority;
    in
    if lib.any (def: typeOf def.value == "order") defs then
      map (def: removeAttrs def [ "priority" ]) (builtins.sort (a: b: priority a < priority b) (map ordered defs))
    else
      defs;

  # A property applied to each definition of an option, for options that stand for others.
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: mkIf (option.isDefined or false) (wrap (mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority =
    wrap: option:
    let
      priority = option.highestPrio or defaultOverridePriority;
    in
    mkIf (option.isDefined or false) (wrap (mkMerge (map (mkOverride priority) option.definitions)));
  mkAliasIfDef = option: mkIf (option.isDefined or false);
  mkDerivedConfig = option: f: mkIf (option.isDefined or false) (mkOverride option.highestPrio (f option.value));
}
