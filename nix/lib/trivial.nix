# Functions on values of any type, numbers and booleans.
{ lib }:
let
  inherit (builtins)
    add
    bitAnd
    bitOr
    bitXor
    ceil
    deepSeq
    div
    floor
    fromTOML
    isBool
    isFloat
    isInt
    lessThan
    mul
    pathExists
    readFile
    seq
    sub
    ;
in
{
  inherit
    add
    bitAnd
    bitOr
    bitXor
    ceil
    deepSeq
    div
    floor
    isBool
    isFloat
    isInt
    lessThan
    mul
    pathExists
    readFile
    seq
    sub
    ;

  id = x: x;
  const = x: _: x;

  # pipe x [ f g ] = g (f x)
  pipe = builtins.foldl' (x: f: f x);

  concat = x: y: x ++ y;
  "or" = x: y: x || y;
  and = x: y: x && y;
  xor = x: y: x != y;
  bitNot = sub (-1);
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";
  mergeAttrs = x: y: x // y;
  flip =
    f: a: b:
    f b a;
  defaultTo = default: x: if x == null then default else x;
  mapNullable = f: x: if x == null then null else f x;

  min = x: y: if x < y then x else y;
  max = x: y: if x > y then x else y;
  mod = base: int: base - (int * (div base int));
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;
  splitByAndCompare =
    p: yes: no: a: b:
    if p a then
      if p b then yes a b else -1
    else if p b then
      1
    else
      no a b;

  importJSON = path: builtins.fromJSON (readFile path);
  importTOML = path: fromTOML (readFile path);

  # The release of the interface that this library follows, for definitions that branch on it.
  release = "26.05";
  version = "26.05-wharf";
  versionSuffix = "-wharf";
  trivialVersion = "26.05";
  codeName = "Wharf";
  oldestSupportedRelease = 2505;
  oldestSupportedReleaseIsAtLeast = release: 2505 >= release;
  isInOldestRelease = release: 2505 >= release;
  nixpkgsVersion = "26.05-wharf";
  revisionWithDefault = default: default;
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);

  warn = msg: builtins.trace "evaluation warning: ${msg}";
  info = msg: builtins.trace "INFO: ${msg}";
  warnIf = cond: msg: if cond then lib.warn msg else lib.id;
  warnIfNot = cond: lib.warnIf (!cond);
  showWarnings = warnings: value: builtins.foldl' (v: w: lib.warn w v) value warnings;
  throwIf = cond: msg: if cond then throw msg else lib.id;
  throwIfNot = cond: lib.throwIf (!cond);

  checkListOfEnum =
    msg: valid: given: value:
    let
      unexpected = lib.subtractLists valid given;
    in
    lib.throwIfNot (unexpected == [ ])
      "${msg}: ${lib.concatStringsSep ", " (map toString unexpected)} unexpected; valid ones: ${lib.concatStringsSep ", " (map toString valid)}"
      value;

  # A function that announces its named arguments without a pattern in its source, as `makeOverridable` needs.
  setFunctionArgs = f: args: {
    __functor = self: f;
    __functionArgs = args;
  };
  functionArgs =
    f:
    if f ? __functor then
      f.__functionArgs or (lib.functionArgs (f.__functor f))
    else
      builtins.functionArgs f;
  isFunction = f: builtins.isFunction f || (f ? __functor && lib.isFunction (f.__functor f));
  mirrorFunctionArgs = f: g: lib.setFunctionArgs g (lib.functionArgs f);
  toFunction = v: if lib.isFunction v then v else _: v;

  fromHexString =
    text:
    let
      digits = lib.toLower (lib.removePrefix "0x" text);
    in
    if builtins.match "[0-9a-f]+" digits == null then
      throw "lib.fromHexString: \"${text}\" is not a hexadecimal number"
    else
      (fromTOML "v=0x${digits}").v;
  toHexString =
    i: lib.concatMapStrings (d: builtins.substring d 1 "0123456789ABCDEF") (lib.toBaseDigits 16 i);

  # The digits of a non-negative number, most significant first.
  toBaseDigits =
    base: i:
    let
      go = i: if i < base then [ i ] else go (i / base) ++ [ (lib.mod i base) ];
    in
    assert isInt base && base >= 2;
    assert isInt i && i >= 0;
    go i;
}
