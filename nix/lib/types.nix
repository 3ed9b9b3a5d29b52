# What a type of options is, and how types are made. A type is
#   name, description        what it is called in documentation and errors
#   check: value → bool      whether one definition may have this value
#   merge: loc → defs → v    the value that definitions make together (each has passed `check`)
#   emptyValue               { value = …; } where no definition at all makes a value
#   getSubOptions: loc → set the options inside a value, for documentation
#   getSubModules, substSubModules   the modules of the submodules inside, and the same type with others
#   functor, typeMerge       how two declarations of the same option with this type are one
{ lib }:
let
  inherit (builtins) head length;
  inherit (lib) showOption types;
in
rec {
  isType = type: x: x._type or "" == type;

  setType = type: value: value // { _type = type; };

  isOptionType = isType "option-type";

  # How a type without parameters merges: with another of its name.
  defaultFunctor = name: {
    inherit name;
    type = types.${name} or null;
    wrapped = null;
    payload = null;
    binOp = _: _: null;
    rebuild = null;
  };

  defaultTypeMerge =
    own: f': f:
    let
      payload = f'.binOp f'.payload f.payload;
    in
    if f'.name != f.name then
      null
    else if f'.payload == null && f.payload == null then
      if f'.wrapped == null then own else null
    else if f'.payload == null || f.payload == null || payload == null then
      null
    else
      f'.rebuild payload;

  mkOptionType =
    {
      name,
      description ? null,
      descriptionClass ? null,
      check ? (_: true),
      merge ? lib.mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? (_: { }),
      getSubModules ? null,
      substSubModules ? (_: null),
      functor ? defaultFunctor name,
      typeMerge ? null,
      deprecationMessage ? null,
      nestedTypes ? { },
    }@args:
    let
      self = {
        _type = "option-type";
        inherit
          name
          check
          merge
          emptyValue
          getSubOptions
          getSubModules
          substSubModules
          functor
          descriptionClass
          deprecationMessage
          nestedTypes
          ;
        description = if description == null then name else description;
        typeMerge = if typeMerge == null then defaultTypeMerge self functor else typeMerge;
      };
    in
    self;

  optionDescriptionPhrase = accept: t: if accept (t.descriptionClass or null) then t.description else "(${t.description})";

  addCheck = type: check: type // { check = x: type.check x && check x; };

  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    descriptionClass = "noun";
    check = isOptionType;
    merge =
      loc: defs:
      if length defs == 1 then
        (head defs).value
      else
        builtins.foldl' (
          t: def:
          let
            merged = t.typeMerge def.value.functor;
          in
          if merged == null then
            throw "The option `${showOption loc}' is defined with types that cannot be merged, in ${lib.showFiles (lib.getFiles defs)}."
          else
            merged
        ) (head defs).value (builtins.tail defs);
  };
}
