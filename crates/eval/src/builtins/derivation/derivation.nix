# Each output of a derivation is the whole derivation again, seen from that output.
drvAttrs@{ outputs ? [ "out" ], ... }:

let
  strict = derivationStrict drvAttrs;

  seenFrom = outputName: shared // {
    inherit outputName;
    inherit (strict) drvPath;
    outPath = strict.${outputName};
    type = "derivation";
  };

  named = map (name: { inherit name; value = seenFrom name; }) outputs;

  shared = drvAttrs // builtins.listToAttrs named // {
    inherit drvAttrs;
    all = map (output: output.value) named;
  };
in
(builtins.head named).value
