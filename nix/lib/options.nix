# Declarations of options, the plain ways to merge their definitions, and how options are shown to people.
#
# A definition is { file; value; }; a location is the list of names that leads to an option.
{ lib }:
let
  inherit (builtins)
    all
    concatMap
    head
    isString
    length
    tail
    ;

  # Text of a value for an error message: short, and never one that fails itself.
  excerpt =
    value:
    let
      shown = builtins.tryEval (
        lib.generators.toPretty { allowPrettyValues = true; } (lib.generators.withRecursion {
          depthLimit = 10;
          throwOnDepthLimit = false;
        } value)
      );
      linesOf = lib.splitString "\n" shown.value;
      short = lib.take 5 linesOf ++ lib.optional (length linesOf > 5) "...";
    in
    if !shown.success then "<a value that could not be evaluated>" else lib.concatStringsSep "\n    " short;
in
{
  isOption = v: v._type or null == "option";

  # An option: { default, defaultText, example, description, relatedPackages, type, apply, internal, visible, readOnly }.
  mkOption =
    {
      default ? null,
      defaultText ? null,
      example ? null,
      description ? null,
      relatedPackages ? null,
      type ? null,
      apply ? null,
      internal ? null,
      visible ? null,
      readOnly ? null,
    }@declaration:
    declaration // { _type = "option"; };

  mkEnableOption =
    name:
    lib.mkOption {
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
      type = lib.types.bool;
    };

  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = lib.toList name';
      name' = if isString name then lib.last (lib.splitString "." name) else lib.concatStringsSep "." name;
      defaultPath = if default == null then null else lib.concatMap (lib.splitString ".") (lib.toList default);
    in
    lib.mkOption (
      {
        type = (if nullable then lib.types.nullOr else lib.id) lib.types.package;
        description =
          "The ${lib.concatStringsSep "." path} package to use."
          + lib.optionalString (extraDescription != "") " ${extraDescription}";
      }
      // lib.optionalAttrs (default != null || nullable) {
        default =
          if default == null then
            null
          else
            lib.attrByPath defaultPath (throw "${lib.showAttrPath defaultPath} cannot be found in ${pkgsText}") pkgs;
        defaultText = lib.literalExpression (if default == null then "null" else "${pkgsText}.${lib.showAttrPath defaultPath}");
      }
      // lib.optionalAttrs (example != null) {
        example = lib.literalExpression (
          if isString example then "${pkgsText}.${example}" else "${pkgsText}.${lib.showAttrPath example}"
        );
      }
    );

  # An option that swallows what nobody declared.
  mkSinkUndeclaredOptions =
    attrs:
    lib.mkOption (
      {
        internal = true;
        visible = false;
        default = false;
        description = "Sink for option definitions.";
        type = lib.mkOptionType {
          name = "sink";
          check = _: true;
          merge = _: _: false;
        };
        apply = _: throw "Option value is not readable because the option is not declared.";
      }
      // attrs
    );

  # The merge of an option without a type: by what the definitions look like.
  mergeDefaultOption =
    loc: defs:
    let
      list = lib.getValues defs;
    in
    if length list == 1 then
      head list
    else if all lib.isFunction list then
      x: lib.mergeDefaultOption loc (map (f: f x) list)
    else if all builtins.isList list then
      builtins.concatLists list
    else if all builtins.isAttrs list then
      builtins.foldl' lib.mergeAttrs { } list
    else if all builtins.isBool list then
      lib.any lib.id list
    else if all isString list then
      lib.concatStrings list
    else if all builtins.isInt list && all (x: x == head list) list then
      head list
    else
      throw "Cannot merge definitions of `${lib.showOption loc}'. Definition values:${lib.showDefs defs}";

  mergeOneOption = lib.mergeUniqueOption { message = ""; };
  mergeUniqueOption =
    {
      message,
      merge ? null,
    }:
    loc: defs:
    if length defs == 1 then
      if merge == null then (head defs).value else merge loc defs
    else
      throw "The option `${lib.showOption loc}' is defined multiple times while it's expected to be unique.${
        lib.optionalString (message != "") "\n${message}"
      }\nDefinition values:${lib.showDefs defs}\nUse `lib.mkForce value' or `lib.mkDefault value' to change the priority on any of these definitions.";

  mergeEqualOption =
    loc: defs:
    if defs == [ ] then
      abort "lib.mergeEqualOption: no definition to merge at ${lib.showOption loc}"
    else
      (builtins.foldl' (
        first: def:
        if def.value != first.value then
          throw "The option `${lib.showOption loc}' has conflicting definition values:${lib.showDefs [ first def ]}\nUse `lib.mkForce value' or `lib.mkDefault value' to change the priority on any of these definitions."
        else
          first
      ) (head defs) (tail defs)).value;

  getValues = map (def: def.value);
  getFiles = map (def: def.file);

  literalExpression =
    text:
    if isString text then
      {
        _type = "literalExpression";
        inherit text;
      }
    else
      throw "literalExpression expects a string.";
  literalCode = languageTag: text: lib.literalMD "```${languageTag}\n${text}\n```";
  literalMD =
    text:
    if isString text then
      {
        _type = "literalMD";
        inherit text;
      }
    else
      throw "literalMD expects a string.";

  # `a.b."c.d".<name>.e`
  showOption =
    let
      placeholders = [
        "<name>"
        "*"
        "<function body>"
      ];
      part = name: if builtins.elem name placeholders then name else lib.escapeNixIdentifier name;
    in
    parts: lib.concatMapStringsSep "." part parts;
  showFiles = files: lib.concatMapStringsSep " and " (file: "`${file}'") files;
  showDefs = defs: lib.concatMapStrings (def: "\n- In `${def.file}': ${excerpt def.value}") defs;
  showOptionWithDefLocs = opt: "${lib.showOption opt.loc}, with values defined in:\n${
    lib.concatMapStringsSep "\n" (file: "  - ${file}") opt.files
  }\n";
  unknownModule = "<unknown-file>";

  # The options of a tree as a list of plain records for documentation.
  optionAttrSetToDocList = lib.optionAttrSetToDocList' [ ];
  optionAttrSetToDocList' =
    _: options:
    concatMap (
      opt:
      let
        subOptions = opt.type.getSubOptions opt.loc;
        doc = {
          inherit (opt) loc;
          name = lib.showOption opt.loc;
          description = opt.description or null;
          declarations = builtins.filter (x: x != lib.unknownModule) opt.declarations;
          internal = opt.internal or false;
          visible = opt.visible or true != false;
          readOnly = opt.readOnly or false;
          type = opt.type.description or "unspecified";
        }
        // lib.optionalAttrs (opt ? example) { example = lib.renderOptionValue opt.example; }
        // lib.optionalAttrs (opt ? defaultText || opt ? default) {
          default = lib.renderOptionValue (opt.defaultText or opt.default);
        }
        // lib.optionalAttrs (opt ? relatedPackages && opt.relatedPackages != null) { inherit (opt) relatedPackages; };
      in
      [ doc ]
      ++ lib.optionals (subOptions != { } && opt.visible or true == true) (
        lib.optionAttrSetToDocList' opt.loc subOptions
      )
    ) (lib.collect lib.isOption options);
  renderOptionValue =
    v:
    if v ? _type && v ? text then
      v
    else
      lib.literalExpression (lib.generators.toPretty {
        multiline = true;
        allowPrettyValues = true;
      } v);
  # A value without what cannot be written down: derivations become their names.
  scrubOptionValue =
    x:
    if lib.isDerivation x then
      {
        type = "derivation";
        drvPath = x.name;
        outPath = x.name;
        inherit (x) name;
      }
    else if builtins.isList x then
      map lib.scrubOptionValue x
    else if builtins.isAttrs x then
      builtins.mapAttrs (_: lib.scrubOptionValue) (removeAttrs x [ "_args" ])
    else
      x;
}
