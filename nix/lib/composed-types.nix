# Types made of other types: lists, sets, choices, functions.
{ lib }:
let
  inherit (builtins)
    all
    attrNames
    elemAt
    filter
    head
    isAttrs
    isList
    length
    mapAttrs
    ;
  inherit (lib)
    mergeDefinitions
    mergeOneOption
    showDefs
    showOption
    types
    ;

  # A description inside another one, in parentheses where it would be read wrongly without.
  phrase = accepted: t: if builtins.elem (t.descriptionClass or null) accepted then t.description else "(${t.description})";
  noun = phrase [
    "noun"
    "composite"
  ];

  # A type with one type inside keeps its other parts in step with it.
  wrapping =
    {
      name,
      rewrap,
      elem,
      extra ? { },
    }:
    {
      getSubModules = elem.getSubModules;
      substSubModules = m: rewrap (elem.substSubModules m);
      functor = lib.defaultFunctor name // {
        wrapped = elem;
        type = rewrap;
        payload = { elemType = elem; };
        binOp =
          a: b:
          let
            merged = a.elemType.typeMerge b.elemType.functor;
          in
          if merged == null then null else { elemType = merged; };
        rebuild = payload: rewrap payload.elemType;
      };
      nestedTypes.elemType = elem;
    }
    // extra;
in
rec {
  listOf =
    elemType:
    types.mkOptionType (
      {
        name = "listOf";
        description = "list of ${phrase [ "noun" "composite" ] elemType}";
        descriptionClass = "composite";
        check = isList;
        merge =
          loc: defs:
          let
            entry =
              n: def: m: value:
              mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
                {
                  inherit (def) file;
                  inherit value;
                }
              ];
            entries = lib.concatLists (lib.imap1 (n: def: lib.imap1 (entry n def) def.value) defs);
          in
          map (e: e.mergedValue) (filter (e: e.isDefined) entries);
        emptyValue.value = [ ];
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      }
      // wrapping {
        name = "listOf";
        rewrap = listOf;
        elem = elemType;
      }
    );

  nonEmptyListOf =
    elemType:
    types.addCheck (listOf elemType) (l: l != [ ])
    // {
      description = "non-empty (${(listOf elemType).description})";
      emptyValue = { };
      substSubModules = m: nonEmptyListOf (elemType.substSubModules m);
    };

  attrsOf = elemType: attrsWith { inherit elemType; };

  # As attrsOf, but which names there are does not depend on conditions: a value is looked at only when it is used.
  lazyAttrsOf =
    elemType:
    attrsWith {
      inherit elemType;
      lazy = true;
    };

  attrsWith =
    {
      elemType,
      lazy ? false,
      placeholder ? "name",
    }:
    let
      typeName = if lazy then "lazyAttrsOf" else "attrsOf";
      rebuild = payload: attrsWith payload;
    in
    types.mkOptionType {
      name = typeName;
      description = "${lib.optionalString lazy "lazy "}attribute set of ${phrase [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = isAttrs;
      merge =
        loc: defs:
        let
          byName = builtins.zipAttrsWith (_: lib.concatLists) (
            lib.concatMap (
              def:
              map (mapAttrs (_: value: [
                {
                  inherit (def) file;
                  inherit value;
                }
              ])) (lib.pushDownProperties def.value)
            ) defs
          );
          merged = mapAttrs (name: mergeDefinitions (loc ++ [ name ]) elemType) byName;
        in
        if lazy then
          mapAttrs (_: e: e.optionalValue.value or elemType.emptyValue.value or e.mergedValue) merged
        else
          mapAttrs (_: e: e.mergedValue) (lib.filterAttrs (_: e: e.isDefined) merged);
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
      getSubModules = elemType.getSubModules;
      substSubModules =
        m:
        attrsWith {
          elemType = elemType.substSubModules m;
          inherit lazy placeholder;
        };
      functor = types.defaultFunctor "attrsWith" // {
        wrapped = elemType;
        type = rebuild;
        inherit rebuild;
        payload = { inherit elemType lazy placeholder; };
        binOp =
          a: b:
          let
            merged = a.elemType.typeMerge b.elemType.functor;
          in
          if merged == null || a.lazy != b.lazy then
            null
          else
            {
              elemType = merged;
              inherit (a) lazy;
              placeholder = if a.placeholder == "name" then b.placeholder else a.placeholder;
            };
      };
      nestedTypes.elemType = elemType;
    };

  # A set with exactly one of the given names: a tagged union.
  attrTag =
    tags:
    let
      choices = lib.concatStringsSep ", " (attrNames tags);
    in
    types.mkOptionType {
      name = "attrTag";
      description = "attribute-tagged union with choices: ${choices}";
      descriptionClass = "noun";
      check = x: isAttrs x && length (attrNames x) == 1 && tags ? ${head (attrNames x)};
      merge =
        loc: defs:
        let
          chosen = lib.unique (lib.concatMap (def: attrNames def.value) defs);
          tag = head chosen;
          values = map (def: {
            inherit (def) file;
            value = def.value.${tag};
          }) defs;
        in
        if length chosen == 1 then
          { ${tag} = (lib.evalOptionValue (loc ++ [ tag ]) (tags.${tag} // { declarations = [ ]; }) values).value; }
        else
          throw "The option `${showOption loc}' is defined with more than one of ${choices}:${showDefs defs}";
      getSubOptions = prefix: mapAttrs (name: option: option // { loc = prefix ++ [ name ]; declarations = [ ]; }) tags;
    };

  nullOr =
    elemType:
    types.mkOptionType (
      {
        name = "nullOr";
        description = "null or ${phrase [ "noun" "conjunction" ] elemType}";
        descriptionClass = "conjunction";
        check = x: x == null || elemType.check x;
        merge =
          loc: defs:
          let
            nulls = lib.count (def: def.value == null) defs;
          in
          if nulls == length defs then
            null
          else if nulls != 0 then
            throw "The option `${showOption loc}' is defined both null and not null, in ${lib.showFiles (lib.getFiles defs)}."
          else
            elemType.merge loc defs;
        emptyValue.value = null;
        inherit (elemType) getSubOptions;
      }
      // wrapping {
        name = "nullOr";
        rewrap = nullOr;
        elem = elemType;
      }
    );

  uniq = unique { message = ""; };

  unique =
    { message }:
    type:
    types.mkOptionType (
      {
        name = "unique";
        inherit (type)
          description
          descriptionClass
          check
          getSubOptions
          ;
        merge =
          loc: defs:
          lib.mergeUniqueOption {
            inherit message;
            inherit (type) merge;
          } loc defs;
      }
      // wrapping {
        name = "unique";
        rewrap = unique { inherit message; };
        elem = type;
      }
    );

  functionTo =
    elemType:
    types.mkOptionType (
      {
        name = "functionTo";
        description = "function that evaluates to a(n) ${noun elemType}";
        descriptionClass = "composite";
        check = lib.isFunction;
        merge =
          loc: defs:
          let
            result =
              arg:
              (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (
                map (def: {
                  inherit (def) file;
                  value = def.value arg;
                }) defs
              )).mergedValue;
            arguments = lib.mergeAttrsList (map (def: lib.functionArgs def.value) defs);
          in
          if arguments == { } then result else lib.setFunctionArgs result arguments;
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
      }
      // wrapping {
        name = "functionTo";
        rewrap = functionTo;
        elem = elemType;
      }
    );

  either =
    t1: t2:
    types.mkOptionType {
      name = "either";
      description = "${
        phrase [ "noun" "conjunction" ] t1
      } or ${phrase [ "noun" "conjunction" "composite" ] t2}";
      descriptionClass = "conjunction";
      check = x: t1.check x || t2.check x;
      merge =
        loc: defs:
        let
          values = lib.getValues defs;
        in
        if all t1.check values then
          t1.merge loc defs
        else if all t2.check values then
          t2.merge loc defs
        else
          mergeOneOption loc defs;
      functor = types.defaultFunctor "either" // {
        payload = { elemType = [ t1 t2 ]; };
        type = payload: either (elemAt payload.elemType 0) (elemAt payload.elemType 1);
        rebuild = payload: either (elemAt payload.elemType 0) (elemAt payload.elemType 1);
        binOp =
          a: b:
          let
            merged = lib.zipListsWith (x: y: x.typeMerge y.functor) a.elemType b.elemType;
          in
          if builtins.elem null merged then null else { elemType = merged; };
      };
      nestedTypes.left = t1;
      nestedTypes.right = t2;
    };

  oneOf =
    ts:
    if ts == [ ] then
      throw "types.oneOf needs to get at least one type in its argument"
    else
      builtins.foldl' either (head ts) (builtins.tail ts);

  # Values of one type that become another's by a function, before they are merged.
  coercedTo =
    from: f: to:
    assert lib.assertMsg (from.getSubModules == null) "coercedTo: coercedType must not have submodules (it’s a ${from.description})";
    types.mkOptionType {
      name = "coercedTo";
      description = "${phrase [ "noun" ] to} or ${phrase [ "noun" ] from} convertible to it";
      descriptionClass = "conjunction";
      check = x: (from.check x && to.check (f x)) || to.check x;
      merge =
        loc: defs:
        to.merge loc (map (def: if from.check def.value then def // { value = f def.value; } else def) defs);
      inherit (to) emptyValue getSubOptions getSubModules;
      substSubModules = m: coercedTo from f (to.substSubModules m);
      typeMerge = _: null;
      nestedTypes.coercedType = from;
      nestedTypes.finalType = to;
    };

  # Values that JSON can hold.
  json = serializableValueWith { typeName = "JSON"; };

  toml = serializableValueWith {
    typeName = "TOML";
    nullable = false;
  };

  serializableValueWith =
    {
      typeName,
      nullable ? true,
    }:
    let
      value =
        (if nullable then nullOr else lib.id) (oneOf [
          types.bool
          types.int
          types.float
          types.str
          types.path
          (attrsOf value)
          (listOf value)
        ])
        // {
          description = "${typeName} value";
        };
    in
    value;
}
