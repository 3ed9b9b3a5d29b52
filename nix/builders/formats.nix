# Configuration files as values: each format has the type that an option for such a file takes, and `generate`.
{ lib, final }:
let
  inherit (lib) types;
  texts =
    {
      listsAsDuplicateKeys ? false,
      listToValue ? null,
    }:
    let
      atom = types.nullOr (types.oneOf [ types.bool types.int types.float types.str ]) // {
        description = "atom (null, bool, int, float or string)";
      };
    in
    if listsAsDuplicateKeys || listToValue != null then types.coercedTo atom lib.singleton (types.listOf atom) else atom;
  keyValueArgs =
    args@{
      listToValue ? null,
      ...
    }:
    removeAttrs args [ "listToValue" ];
  joinLists = listToValue: v: if listToValue != null && builtins.isList v && lib.length v != 1 then listToValue v else v;
in
{
  formats = {
    json = { }: {
      type = types.json;
      generate = name: value: final.writeText name (builtins.toJSON value);
    };
    # JSON is YAML.
    yaml = { }: {
      type = types.serializableValueWith { typeName = "YAML 1.1"; };
      generate = name: value: final.writeText name (builtins.toJSON value);
    };
    keyValue =
      args@{
        listsAsDuplicateKeys ? false,
        listToValue ? null,
        ...
      }:
      {
        type = types.attrsOf (texts { inherit listsAsDuplicateKeys listToValue; });
        generate =
          name: value:
          final.writeText name (
            lib.generators.toKeyValue (keyValueArgs args) (lib.mapAttrs (_: joinLists listToValue) value)
          );
      };
    ini =
      args@{
        listsAsDuplicateKeys ? false,
        listToValue ? null,
        ...
      }:
      {
        type = types.attrsOf (types.attrsOf (texts { inherit listsAsDuplicateKeys listToValue; }));
        generate =
          name: value:
          final.writeText name (
            lib.generators.toINI (keyValueArgs args) (lib.mapAttrs (_: lib.mapAttrs (_: joinLists listToValue)) value)
          );
      };
  };
}
