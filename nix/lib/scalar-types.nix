# Types of single values: numbers, texts, paths, packages, and whatever is not looked into.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    elem
    head
    isAttrs
    isBool
    isFloat
    isInt
    isPath
    isString
    length
    match
    ;
  inherit (lib)
    mergeEqualOption
    mergeOneOption
    showOption
    types
    ;

  between =
    lowest: highest:
    assert lib.assertMsg (lowest <= highest) "ints.between: lowest must be smaller than highest";
    types.addCheck types.int (x: x >= lowest && x <= highest)
    // {
      name = "intBetween";
      description = "integer between ${toString lowest} and ${toString highest} (both inclusive)";
    };
  sized =
    name: bits: lowest: highest:
    between lowest highest
    // {
      inherit name;
      description = "${toString bits} bit ${if lowest < 0 then "" else "un"}signed integer; between ${toString lowest} and ${toString highest} (both inclusive)";
    };
  isNumber = x: isInt x || isFloat x;

  simple =
    name: description: check:
    lib.mkOptionType {
      inherit name description check;
      descriptionClass = "noun";
      merge = mergeEqualOption;
    };
in
rec {
  unspecified = types.mkOptionType {
    name = "unspecified";
    description = "unspecified value";
    descriptionClass = "noun";
  };

  # Any value, and only one definition of it.
  raw = types.mkOptionType {
    name = "raw";
    description = "raw value";
    descriptionClass = "noun";
    merge = mergeOneOption;
  };

  # Any value, with definitions merged by what they look like.
  anything = types.mkOptionType {
    name = "anything";
    description = "anything";
    descriptionClass = "noun";
    merge =
      loc: defs:
      let
        kind = v: if isAttrs v && lib.isStringLike v then "stringCoercibleSet" else builtins.typeOf v;
        kinds = lib.unique (map (def: kind def.value) defs);
        by = {
          set = (types.attrsOf anything).merge;
          # Which order would be right is not known, so lists are not joined.
          list =
            if length defs > 1 then
              throw "The option `${showOption loc}' has conflicting definitions, in ${lib.showFiles (lib.getFiles defs)}"
            else
              (types.listOf anything).merge;
          lambda =
            loc: defs: arg:
            anything.merge (loc ++ [ "<function body>" ]) (
              map (def: {
                inherit (def) file;
                value = def.value arg;
              }) defs
            );
          stringCoercibleSet = mergeOneOption;
        };
      in
      if length kinds > 1 then
        throw "The option `${showOption loc}' has conflicting option types in ${lib.showFiles (lib.getFiles defs)}"
      else
        (by.${head kinds} or mergeEqualOption) loc defs;
  };

  bool = simple "bool" "boolean" isBool;

  # True where any definition is.
  boolByOr = types.mkOptionType {
    name = "boolByOr";
    description = "boolean (merged using or)";
    descriptionClass = "noun";
    check = isBool;
    merge = _: defs: lib.any (def: def.value) defs;
  };

  int = simple "int" "signed integer" isInt;

  ints = {
    inherit between;
    unsigned = types.addCheck int (x: x >= 0) // {
      name = "unsignedInt";
      description = "unsigned integer, meaning >=0";
      descriptionClass = "nonRestrictiveClause";
    };
    positive = types.addCheck int (x: x > 0) // {
      name = "positiveInt";
      description = "positive integer, meaning >0";
      descriptionClass = "nonRestrictiveClause";
    };
    u8 = sized "unsignedInt8" 8 0 255;
    u16 = sized "unsignedInt16" 16 0 65535;
    u32 = sized "unsignedInt32" 32 0 4294967295;
    s8 = sized "signedInt8" 8 (-128) 127;
    s16 = sized "signedInt16" 16 (-32768) 32767;
    s32 = sized "signedInt32" 32 (-2147483648) 2147483647;
  };

  port = ints.u16;

  float = simple "float" "floating point number" isFloat;

  number = simple "number" "integer or floating point number" isNumber;

  numbers = {
    between =
      lowest: highest:
      types.addCheck number (x: x >= lowest && x <= highest)
      // {
        name = "numberBetween";
        description = "integer or floating point number between ${builtins.toJSON lowest} and ${builtins.toJSON highest} (both inclusive)";
      };
    nonnegative = types.addCheck number (x: x >= 0) // {
      name = "numberNonnegative";
      description = "nonnegative integer or floating point number, meaning >=0";
    };
    positive = types.addCheck number (x: x > 0) // {
      name = "numberPositive";
      description = "positive integer or floating point number, meaning >0";
    };
  };

  str = simple "str" "string" isString;

  nonEmptyStr = simple "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);

  singleLineStr = types.mkOptionType {
    name = "singleLineStr";
    description = "(optionally newline-terminated) single-line string";
    descriptionClass = "noun";
    check = x: isString x && match "[^\n\r]*\n?" x != null;
    merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
  };

  strMatching =
    pattern:
    simple "strMatching ${lib.escapeNixString pattern}" "string matching the pattern ${pattern}" (
      x: isString x && match pattern x != null
    );

  separatedString =
    sep:
    types.mkOptionType {
      name = "separatedString";
      description = "strings concatenated with ${builtins.toJSON sep}";
      descriptionClass = "noun";
      check = isString;
      merge = _: defs: concatStringsSep sep (lib.getValues defs);
      functor = types.defaultFunctor "separatedString" // {
        payload = { inherit sep; };
        type = payload: separatedString payload.sep;
        rebuild = payload: separatedString payload.sep;
        binOp = a: b: if a.sep == b.sep then a else null;
      };
    };

  lines = separatedString "\n";

  commas = separatedString ",";

  envVar = separatedString ":";

  # A set that is not looked into; of two definitions with one name the later module's counts.
  attrs = types.mkOptionType {
    name = "attrs";
    description = "attribute set";
    descriptionClass = "noun";
    check = isAttrs;
    merge = _: builtins.foldl' (acc: def: acc // def.value) { };
    emptyValue.value = { };
  };

  package = types.mkOptionType {
    name = "package";
    description = "package";
    descriptionClass = "noun";
    check = x: lib.isDerivation x || lib.isStorePath x;
    merge =
      loc: defs:
      let
        value = mergeOneOption loc defs;
      in
      if isPath value || (isString value && !builtins.hasContext value) then lib.toDerivation value else value;
  };

  shellPackage = package // {
    check = x: lib.isDerivation x && x ? shellPath;
  };

  pkgs = types.addCheck (lib.types.attrs // { merge = mergeOneOption; }) (x: (x._type or null) == "pkgs") // {
    name = "pkgs";
    description = "Nixpkgs package set";
    descriptionClass = "noun";
  };

  path = pathWith { absolute = true; };

  pathInStore = pathWith { inStore = true; };

  pathWith =
    {
      inStore ? null,
      absolute ? null,
    }:
    let
      words = lib.optional (absolute != null) (if absolute then "absolute" else "relative");
      where = if inStore == null then "" else if inStore then " in the Nix store" else " not in the Nix store";
    in
    types.mkOptionType {
      name = "path";
      description = concatStringsSep " " (words ++ [ "path" ]) + where;
      descriptionClass = "noun";
      check =
        x:
        let
          text = toString x;
          isAbsolute = builtins.substring 0 1 text == "/";
        in
        lib.isStringLike x
        && (absolute == null || absolute == isAbsolute)
        && (inStore == null || inStore == lib.hasPrefix "${builtins.storeDir}/" text);
      merge = mergeEqualOption;
      functor = types.defaultFunctor "path" // {
        payload = { inherit inStore absolute; };
        type = pathWith;
        rebuild = pathWith;
        binOp = a: b: if a == b then a else null;
      };
    };

  enum =
    values:
    let
      show =
        v:
        if isString v then
          builtins.toJSON v
        else if isInt v then
          toString v
        else if isBool v then
          lib.boolToString v
        else
          "<${builtins.typeOf v}>";
    in
    types.mkOptionType {
      name = "enum";
      description =
        if values == [ ] then
          "impossible (empty enum)"
        else if length values == 1 then
          "value ${show (head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " show values}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = v: elem v values;
      merge = mergeEqualOption;
      functor = types.defaultFunctor "enum" // {
        payload = { inherit values; };
        type = payload: enum payload.values;
        rebuild = payload: enum payload.values;
        binOp = a: b: { values = lib.unique (a.values ++ b.values); };
      };
    };
}
