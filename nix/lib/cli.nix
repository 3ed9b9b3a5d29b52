# Command lines from sets of options.
{ lib }:
rec {
  toGNUCommandLineShell = options: attrs: lib.escapeShellArgs (toGNUCommandLine options attrs);

  # { verbose = true; url = [ "a" "b" ]; n = 3; } as --url a --url b -n 3 --verbose
  toGNUCommandLine =
    {
      mkOptionName ? (k: if builtins.stringLength k == 1 then "-${k}" else "--${k}"),
      mkBool ? (k: v: lib.optional v (mkOptionName k)),
      mkList ? (k: v: lib.concatMap (mkOption k) v),
      mkOption ? (
        k: v:
        if v == null then
          [ ]
        else if optionValueSeparator == null then
          [
            (mkOptionName k)
            (lib.generators.mkValueStringDefault { } v)
          ]
        else
          [ "${mkOptionName k}${optionValueSeparator}${lib.generators.mkValueStringDefault { } v}" ]
      ),
      optionValueSeparator ? null,
    }:
    attrs:
    let
      render =
        k: v:
        if builtins.isBool v then
          mkBool k v
        else if builtins.isList v then
          mkList k v
        else
          mkOption k v;
    in
    lib.concatLists (lib.mapAttrsToList render attrs);
}
