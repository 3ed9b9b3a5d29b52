# Attribute sets.
{ lib }:
let
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    concatLists
    elemAt
    foldl'
    getAttr
    hasAttr
    head
    intersectAttrs
    isAttrs
    length
    listToAttrs
    mapAttrs
    removeAttrs
    tail
    ;

  # One output of a package, else the first of those after it in the list, else the package itself.
  outputOr = output: pkg: if !(pkg ? outputSpecified) || !pkg.outputSpecified then pkg.${output} or pkg.out or pkg else pkg;
in
{
  inherit
    attrNames
    attrValues
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    ;

  attrByPath =
    path: default: set:
    let
      go =
        i: v:
        if i == length path then
          v
        else
          let
            name = elemAt path i;
          in
          if v ? ${name} then go (i + 1) v.${name} else default;
    in
    go 0 set;

  hasAttrByPath =
    path: set:
    let
      go = i: v: i == length path || (v ? ${elemAt path i} && go (i + 1) v.${elemAt path i});
    in
    go 0 set;

  # The longest prefix of the path that the value has.
  longestValidPathPrefix =
    path: set:
    let
      go = i: v: if i == length path || !(v ? ${elemAt path i}) then lib.take i path else go (i + 1) v.${elemAt path i};
    in
    go 0 set;

  setAttrByPath = path: value: lib.foldr (name: inner: { ${name} = inner; }) value path;

  getAttrFromPath =
    path: set:
    lib.attrByPath path (throw "cannot find attribute '${lib.concatStringsSep "." path}'") set;

  concatMapAttrs = f: set: lib.mergeAttrsList (attrValues (mapAttrs f set));

  # Changes at several paths at once: each update is { path = [ … ]; update = old: new; }.
  updateManyAttrsByPath =
    let
      go =
        prefix: hasValue: value: updates:
        let
          here = builtins.partition (u: u.path == [ ]) updates;
          below = builtins.groupBy (u: head u.path) here.wrong;
          descend = name: group: {
            inherit name;
            value = go (prefix ++ [ name ]) (value ? ${name}) value.${name} (map (u: u // { path = tail u.path; }) group);
          };
          nested =
            if here.wrong == [ ] then
              value
            else if hasValue && !isAttrs value then
              throw "updateManyAttrsByPath: path '${lib.showAttrPath prefix}' is not an attribute set"
            else
              (if hasValue then value else { }) // listToAttrs (lib.mapAttrsToList descend below);
          missing = throw "updateManyAttrsByPath: path '${lib.showAttrPath prefix}' does not exist in the given value, but the first update to this path tries to access the existing value";
        in
        foldl' (v: u: u.update v) (if here.wrong == [ ] && !hasValue then missing else nested) here.right;
    in
    updates: value: go [ ] true value updates;

  attrVals = names: set: map (name: set.${name}) names;
  getAttrs = names: set: listToAttrs (map (name: lib.nameValuePair name set.${name}) names);
  filterAttrs = pred: set: removeAttrs set (builtins.filter (name: !pred name set.${name}) (attrNames set));
  filterAttrsRecursive =
    pred: set:
    mapAttrs (_: v: if isAttrs v then lib.filterAttrsRecursive pred v else v) (lib.filterAttrs pred set);

  foldlAttrs =
    f: init: set:
    foldl' (acc: name: f acc name set.${name}) init (attrNames set);
  foldAttrs =
    op: nul: sets:
    mapAttrs (_: lib.foldr op nul) (builtins.zipAttrsWith (_: values: values) sets);

  collect =
    pred: value:
    if pred value then
      [ value ]
    else if isAttrs value then
      lib.concatMap (lib.collect pred) (attrValues value)
    else
      [ ];

  cartesianProduct =
    lists:
    foldl' (
      acc: name: lib.concatMap (partial: map (value: partial // { ${name} = value; }) lists.${name}) acc
    ) [ { } ] (attrNames lists);
  mapCartesianProduct = f: lists: map f (lib.cartesianProduct lists);

  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (lib.mapAttrsToList f set);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  attrsToList = lib.mapAttrsToList lib.nameValuePair;
  genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
  genAttrs' = names: f: listToAttrs (map f names);

  mapAttrsRecursive = lib.mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    cond: f: set:
    let
      go = path: mapAttrs (name: v: if isAttrs v && cond v then go (path ++ [ name ]) v else f (path ++ [ name ]) v);
    in
    go [ ] set;
  mapAttrsToListRecursive = lib.mapAttrsToListRecursiveCond (_: _: true);
  mapAttrsToListRecursiveCond =
    cond: f: set:
    let
      go = path: v: if isAttrs v && cond path v then concatLists (lib.mapAttrsToList (name: go (path ++ [ name ])) v) else [ (f path v) ];
    in
    concatLists (lib.mapAttrsToList (name: go [ name ]) set);

  isDerivation = v: v.type or null == "derivation";

  # A store path as a thing that is used like a package.
  toDerivation =
    path:
    let
      path' = if builtins.isString path && builtins.hasContext path then path else builtins.storePath path;
      base = builtins.baseNameOf (builtins.unsafeDiscardStringContext path');
    in
    {
      type = "derivation";
      name = lib.sanitizeDerivationName (builtins.substring 33 (-1) base);
      outPath = path';
      outputs = [ "out" ];
      out = lib.toDerivation path;
      outputName = "out";
    };

  optionalAttrs = cond: set: if cond then set else { };

  zipAttrsWithNames =
    names: f: sets:
    listToAttrs (map (name: lib.nameValuePair name (f name (catAttrs name sets))) names);
  zipAttrsWith = builtins.zipAttrsWith or (f: sets: lib.zipAttrsWithNames (lib.unique (lib.concatMap attrNames sets)) f sets);
  zipAttrs = lib.zipAttrsWith (_: values: values);

  # A tree of merges: n sets cost n·log n copies instead of n².
  mergeAttrsList =
    sets:
    let
      go =
        start: end:
        if end - start >= 2 then
          let
            middle = start + (end - start) / 2;
          in
          go start middle // go middle end
        else
          elemAt sets start;
    in
    if sets == [ ] then { } else go 0 (length sets);

  recursiveUpdateUntil =
    pred: left: right:
    let
      go =
        path:
        lib.zipAttrsWith (
          name: values:
          let
            here = path ++ [ name ];
          in
          if length values == 1 then
            head values
          else if pred here (elemAt values 1) (head values) then
            head values
          else
            go here values
        );
    in
    go [ ] [
      right
      left
    ];
  recursiveUpdate = lib.recursiveUpdateUntil (_: left: right: !(isAttrs left && isAttrs right));

  matchAttrs =
    pattern: set:
    assert isAttrs pattern;
    lib.all (
      name:
      let
        wanted = pattern.${name};
        found = set.${name};
      in
      set ? ${name} && (if isAttrs wanted then isAttrs found && lib.matchAttrs wanted found else wanted == found)
    ) (attrNames pattern);

  overrideExisting = old: new: mapAttrs (name: value: new.${name} or value) old;
  unionOfDisjoint =
    x: y:
    let
      both = attrNames (intersectAttrs x y);
      collision = name: throw "unionOfDisjoint: collision on ${name}; complete list: ${lib.concatStringsSep " " both}";
    in
    (x // y) // lib.genAttrs both collision;

  showAttrPath =
    path: if path == [ ] then "<root attribute path>" else lib.concatMapStringsSep "." lib.escapeNixIdentifier path;

  getFirstOutput =
    candidates: pkg:
    let
      found = builtins.filter (output: pkg ? ${output}) candidates;
    in
    if pkg.outputSpecified or false || found == [ ] then pkg else pkg.${head found};
  getOutput = outputOr;
  getBin = outputOr "bin";
  getLib = outputOr "lib";
  getStatic = lib.getFirstOutput [
    "static"
    "lib"
    "out"
  ];
  getDev = outputOr "dev";
  getInclude = lib.getFirstOutput [
    "include"
    "dev"
    "out"
  ];
  getMan = outputOr "man";
  chooseDevOutputs = map lib.getDev;

  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };
}
