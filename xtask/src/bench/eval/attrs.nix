# A set of 200,000 attributes, and one that grows by 3,000 updates.
let
  named = i: { name = "attribute-${toString i}"; value = i; };
  large = builtins.listToAttrs (builtins.genList named 200000);
  doubled = builtins.mapAttrs (_: value: value * 2) large;
  grown = builtins.foldl' (set: i: set // { "step-${toString i}" = i; last = i; }) { } (builtins.genList (i: i) 3000);
  kept = builtins.removeAttrs large (builtins.attrNames grown);
in
[
  (builtins.length (builtins.attrNames large))
  doubled.attribute-199999
  (builtins.foldl' (sum: name: sum + grown.${name}) 0 (builtins.attrNames grown))
  (builtins.length (builtins.attrValues (kept // grown)))
]
