# Attribute sets: literals, recursion, updates, lookups, patterns, fixed points.
let
  fix = f: let x = f x; in x;
  package = { name, version ? "1", deps ? [ ], ... }@args: args // rec {
    full = "${name}-${version}";
    closure = [ full ] ++ builtins.concatLists (map (dep: dep.closure) deps);
    override = more: package (args // more);
  };
  set = fix (self: builtins.listToAttrs (builtins.genList (i: {
    name = "p${toString i}";
    value = package {
      name = "p${toString i}";
      deps = if i == 0 then [ ] else [ self."p${toString (i / 2)}" ];
    };
  }) 300));
  names = builtins.attrNames set;
in
map (name: with set.${name}; builtins.length (override { version = "2"; }).closure + builtins.stringLength full) names
