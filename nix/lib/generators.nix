# Texts in the formats of configuration files, from Nix values.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isPath
    isString
    toJSON
    ;

  # A section `[name]` of an INI file.
  section = mkSectionName: body: name: value: "[${mkSectionName name}]\n${body value}";
in
rec {
  mkValueStringDefault =
    { }:
    v:
    if isInt v then
      toString v
    else if lib.isDerivation v then
      toString v
    else if isString v then
      v
    else if v == true then
      "true"
    else if v == false then
      "false"
    else if v == null then
      "null"
    else if isFloat v then
      lib.floatToString v
    else
      throw "generators.mkValueStringDefault: ${builtins.typeOf v} is not supported: ${toPretty { } v}";

  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    sep: k: v:
    "${lib.escape [ sep ] k}${sep}${mkValueString v}";

  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    attrs:
    let
      line = k: v: indent + mkKeyValue k v + "\n";
      lines = k: v: if listsAsDuplicateKeys then map (line k) (lib.toList v) else [ (line k v) ];
    in
    lib.concatStrings (lib.concatLists (lib.mapAttrsToList lines attrs));

  toINI =
    {
      mkSectionName ? (
        name:
        lib.escape [
          "["
          "]"
        ] name
      ),
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    sections:
    concatStringsSep "\n" (
      lib.mapAttrsToList (section mkSectionName (toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; })) sections
    );
  toINIWithGlobalSection =
    options:
    {
      globalSection,
      sections ? { },
    }:
    let
      global = toKeyValue (removeAttrs options [ "mkSectionName" ]) globalSection;
    in
    (if globalSection == { } then "" else global + "\n") + toINI options sections;

  # git's format, in which a section may have a quoted subsection.
  toGitINI =
    attrs:
    let
      sectionName =
        path:
        let
          subsection = concatStringsSep "." (lib.init (lib.tail path));
        in
        if builtins.length path <= 2 then builtins.head path else "${builtins.head path} \"${subsection}\"";
      keyValue =
        k: v:
        "\t"
        + mkKeyValueDefault {
          mkValueString = x: if isString x then ''"${lib.escape [ "\\" "\"" ] x}"'' else mkValueStringDefault { } x;
        } " = " k v;
      flat =
        prefix: value:
        if isAttrs value && !lib.isDerivation value then
          lib.concatLists (lib.mapAttrsToList (n: flat (prefix ++ [ n ])) value)
        else
          [
            {
              path = prefix;
              inherit value;
            }
          ];
      entries = flat [ ] attrs;
      grouped = builtins.mapAttrs (_: es: lib.listToAttrs (map (e: lib.nameValuePair (lib.last e.path) e.value) es)) (
        builtins.groupBy (e: sectionName e.path) entries
      );
    in
    toINI {
      mkSectionName = lib.id;
      mkKeyValue = keyValue;
      listsAsDuplicateKeys = true;
    } grouped;

  toJSON = { }: builtins.toJSON;
  # JSON is YAML.
  toYAML = toJSON;

  # The value with everything below a depth replaced by a mark.
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    assert isInt depthLimit;
    let
      special = [
        "__functor"
        "__functionArgs"
        "__toString"
        "__pretty"
      ];
      deeper =
        depth: name: v:
        if builtins.elem name special then v else go depth v;
      go =
        depth: v:
        if depth > depthLimit then
          if throwOnDepthLimit then
            throw "Exceeded maximum eval-depth limit of ${toString depthLimit} while trying to evaluate with `generators.withRecursion'!"
          else
            "<unevaluated>"
        else if isAttrs v then
          builtins.mapAttrs (deeper (depth + 1)) v
        else if isList v then
          map (go (depth + 1)) v
        else
          v;
    in
    go 0;

  # The value as Nix source, as near as its kind allows.
  toPretty =
    {
      allowPrettyValues ? false,
      multiline ? true,
      indent ? "",
    }:
    let
      go =
        indent: v:
        let
          space = if multiline then "\n${indent}  " else " ";
          end = if multiline then "\n${indent}" else " ";
          inner = go (indent + "  ");
        in
        if isInt v then
          toString v
        else if isFloat v then
          builtins.toJSON v
        else if isString v then
          prettyString indent v
        else if v == true then
          "true"
        else if v == false then
          "false"
        else if v == null then
          "null"
        else if isPath v then
          toString v
        else if isList v then
          if v == [ ] then "[ ]" else "[${space}${lib.concatMapStringsSep space inner v}${end}]"
        else if lib.isFunction v then
          prettyFunction v
        else if isAttrs v then
          if allowPrettyValues && v ? __pretty && v ? val then
            v.__pretty v.val
          else if v == { } then
            "{ }"
          else if lib.isDerivation v then
            "<derivation ${v.name or "???"}>"
          else
            "{${space}${
              concatStringsSep space (
                lib.mapAttrsToList (
                  n: x: "${lib.escapeNixIdentifier n} = ${builtins.addErrorContext "while evaluating an attribute `${n}`" (inner x)};"
                ) v
              )
            }${end}}"
        else
          abort "generators.toPretty: should never happen (v = ${builtins.typeOf v})";
      prettyFunction =
        f:
        let
          args = lib.mapAttrsToList (n: optional: if optional then "${n}?" else n) (lib.functionArgs f);
        in
        if args == [ ] then "<function>" else "<function, args: {${concatStringsSep ", " args}}>";
      prettyString =
        indent: v:
        let
          lines = lib.splitString "\n" v;
          escapeMulti = lib.replaceStrings [ "\${" "''" ] [ "''\${" "'''" ];
        in
        if multiline && builtins.length lines > 1 then
          let
            # A last line without its newline is closed at once.
            ended = lib.last lines == "";
            body = map escapeMulti lines;
          in
          "''\n${indent}  "
          + concatStringsSep "\n${indent}  " (if ended then lib.init body else body)
          + (if ended then "\n${indent}''" else "''")
        else
          lib.escapeNixString v;
    in
    go indent;

  # A literal for Lua.
  toLua =
    {
      multiline ? true,
      indent ? "",
      asBindings ? false,
    }@args:
    v:
    let
      innerIndent = "${indent}  ";
      sep = if multiline then ",\n" else ", ";
      inner = toLua (removeAttrs args [ "asBindings" ] // { indent = innerIndent; });
      pad = if multiline then innerIndent else "";
      block = items: if multiline then "{\n${concatStringsSep sep items}\n${indent}}" else "{ ${concatStringsSep sep items} }";
      table = lib.mapAttrsToList (n: x: "${pad}[${builtins.toJSON n}] = ${inner x}") v;
    in
    if asBindings then
      lib.concatStrings (lib.mapAttrsToList (n: x: "${indent}${n} = ${toLua (removeAttrs args [ "asBindings" ]) x}\n") v)
    else if v == null then
      "nil"
    else if isInt v || isFloat v || isString v || isBool v then
      builtins.toJSON v
    else if isPath v || lib.isDerivation v then
      builtins.toJSON "${v}"
    else if isList v then
      if v == [ ] then "{}" else block (map (x: "${pad}${inner x}") v)
    else if v._type or null == "lua-inline" then
      "(${v.expr})"
    else if isAttrs v then
      if v == { } then "{}" else block table
    else
      throw "generators.toLua: type ${builtins.typeOf v} is unsupported";
  mkLuaInline = expr: {
    _type = "lua-inline";
    inherit expr;
  };
}
