[
  (builtins.mapAttrs (n: v: n + toString v) { a = 1; b = 2; })
  (builtins.mapAttrs throw { })
  (builtins.attrNames (builtins.mapAttrs (n: v: throw n) { a = 1; }))
  (builtins.unsafeGetAttrPos "a" (builtins.mapAttrs (n: v: v) { a = 1; }))
]
