# A flake's outputs from its lock: what `builtins.getFlake` evaluates. The semantics of version 7 of the lock file are
# those of C++ Nix.
{
  # The lock file's contents.
  lock,
  # The nodes whose sources are at hand already, by their keys: `{ sourceInfo, dir }`.
  sources,
}:

let
  inherit (lock) nodes root;

  # The key of the node that an input names: the key itself, or a path of input names from the root (`follows`).
  resolve = spec: if builtins.isList spec then follow root spec else spec;

  follow =
    key: path:
    if path == [ ] then key else follow (resolve nodes.${key}.inputs.${builtins.head path}) (builtins.tail path);

  flakes = builtins.mapAttrs call nodes;

  call =
    key: node:
    let
      locked = node.locked or { };
      known = sources ? ${key};
      # A path within the tree of the flake that names it.
      relative = !known && locked.type or null == "path" && builtins.substring 0 1 locked.path != "/";
      parent = flakes.${follow root (node.parent or [ ])};

      sourceInfo =
        if known then
          sources.${key}.sourceInfo
        else if relative then
          parent.sourceInfo
        else
          builtins.fetchTree (node.info or { } // removeAttrs locked [ "dir" ]);

      dir = if known then sources.${key}.dir else locked.dir or "";

      outPath =
        if relative then
          parent.outPath + (if locked.path == "" then "" else "/" + locked.path)
        else
          sourceInfo.outPath + (if dir == "" then "" else "/" + dir);

      flake = import (outPath + "/flake.nix");
      inputs = builtins.mapAttrs (name: spec: flakes.${resolve spec}.result) (node.inputs or { });
      outputs = flake.outputs (inputs // { self = result; });

      result =
        outputs
        # What is known of the source is not hidden by an output of the same name.
        // sourceInfo
        // {
          inherit outPath inputs outputs sourceInfo;
          _type = "flake";
        };

      checked =
        if builtins.isFunction (flake.outputs or null) then
          result
        else
          throw "the flake '${outPath}/flake.nix' has no function 'outputs'";
    in
    {
      inherit outPath sourceInfo;
      result = if node.flake or true then checked else sourceInfo // { inherit sourceInfo outPath; };
    };
in
flakes.${root}.result
