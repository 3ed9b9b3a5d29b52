# Strings: joining, cutting, comparing and converting. Escaping for other languages is in escape.nix.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    elem
    elemAt
    filter
    genList
    head
    isAttrs
    isInt
    isList
    isPath
    isString
    length
    match
    replaceStrings
    split
    stringLength
    substring
    ;

  lowerChars = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  # Paths have no prefix that is not in the store; comparing one with a string is most often a mistake.
  refusePath =
    function: v:
    if isPath v then
      lib.warn "lib.strings.${function}: the first argument (${toString v}) is a path value, so the result is about its text without copying it to the store; use toString if that is meant" true
    else
      true;
in
{
  inherit lowerChars upperChars;
  inherit (builtins)
    compareVersions
    elem
    elemAt
    filter
    fromJSON
    genList
    head
    isAttrs
    isInt
    isList
    isPath
    isString
    match
    parseDrvName
    readFile
    replaceStrings
    split
    storeDir
    stringLength
    substring
    tail
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;
  inherit concatStringsSep;

  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStringsSep "" (map f list);
  concatImapStrings = f: list: concatStringsSep "" (lib.imap1 f list);
  concatMapStringsSep =
    sep: f: list:
    concatStringsSep sep (map f list);
  concatImapStringsSep =
    sep: f: list:
    concatStringsSep sep (lib.imap1 f list);
  concatMapAttrsStringSep =
    sep: f: set:
    concatStringsSep sep (lib.mapAttrsToList f set);
  concatLines = lib.concatMapStrings (line: line + "\n");
  join = concatStringsSep;
  intersperse =
    sep: list:
    if length list < 2 then list else builtins.tail (lib.concatMap (x: [ sep x ]) list);
  replicate = n: text: lib.concatStrings (genList (_: text) n);
  optionalString = cond: text: if cond then text else "";

  hasPrefix = prefix: text: refusePath "hasPrefix" prefix && substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      start = stringLength text - stringLength suffix;
    in
    refusePath "hasSuffix" suffix && start >= 0 && substring start (-1) text == suffix;
  hasInfix =
    infix: text: refusePath "hasInfix" infix && replaceStrings [ infix ] [ "" ] "${text}" != "${text}";
  removePrefix =
    prefix: text:
    if lib.strings.hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  removeSuffix =
    suffix: text:
    if lib.strings.hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;

  trim = lib.trimWith {
    start = true;
    end = true;
  };
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    text:
    let
      space = "[ \t\r\n]*";
      found = match ((if start then space else "") + (if end then "(.*[^ \t\r\n])${space}" else "(.*)")) text;
    in
    if found == null then "" else head found;

  stringToCharacters = text: genList (i: substring i 1 text) (stringLength text);
  stringAsChars = f: text: lib.concatMapStrings f (lib.stringToCharacters text);
  charToInt =
    c:
    let
      table = import ./ascii.nix { inherit lib; };
    in
    table.${c};

  toLower = replaceStrings upperChars lowerChars;
  toUpper = replaceStrings lowerChars upperChars;
  toSentenceCase =
    text:
    if isString text then
      lib.toUpper (substring 0 1 text) + lib.toLower (substring 1 (-1) text)
    else
      throw "lib.strings.toSentenceCase: \"${toString text}\" is not a string";
  toCamelCase =
    text:
    let
      words = filter (w: isString w && w != "") (split "[^A-Za-z0-9]+" (lib.addCaseBoundaries text));
    in
    lib.throwIfNot (isString text) "lib.strings.toCamelCase: the argument must be a string" (
      lib.concatStrings (lib.imap0 (i: w: if i == 0 then lib.toLower w else lib.toSentenceCase w) words)
    );
  # "fooBar" as "foo Bar", so that words can be told apart.
  addCaseBoundaries =
    text:
    lib.concatStrings (
      lib.imap0 (
        i: c: if i > 0 && elem c upperChars && elem (substring (i - 1) 1 text) lowerChars then " ${c}" else c
      ) (lib.stringToCharacters text)
    );

  splitString =
    sep: text:
    map (lib.addContextFrom text) (
      filter isString (split (lib.escapeRegex (toString sep)) (toString text))
    );
  splitStringBy =
    predicate: keepSplit: text:
    let
      step =
        acc: c:
        if predicate acc.previous c then
          acc
          // {
            words = acc.words ++ [ acc.word ];
            word = if keepSplit then c else "";
            previous = c;
          }
        else
          acc
          // {
            word = acc.word + c;
            previous = c;
          };
      done = builtins.foldl' step {
        words = [ ];
        word = "";
        previous = "";
      } (lib.stringToCharacters text);
    in
    if text == "" then [ ] else map (lib.addContextFrom text) (done.words ++ [ done.word ]);
  replaceString = from: to: replaceStrings [ from ] [ to ];

  commonPrefixLength =
    a: b:
    let
      n = lib.min (stringLength a) (stringLength b);
      go = i: if i == n || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;
  commonSuffixLength =
    a: b:
    let
      n = lib.min (stringLength a) (stringLength b);
      at = text: i: substring (stringLength text - i - 1) 1 text;
      go = i: if i == n || at a i != at b i then i else go (i + 1);
    in
    go 0;
  # One row of the table at a time, each a list of distances to the prefixes of b.
  levenshtein =
    a: b:
    let
      width = stringLength b;
      nextRow =
        row: i:
        builtins.foldl' (
          acc: j:
          let
            replace = elemAt row j + (if substring i 1 a == substring j 1 b then 0 else 1);
            add = lib.last acc + 1;
            drop = elemAt row (j + 1) + 1;
          in
          acc ++ [ (lib.min replace (lib.min add drop)) ]
        ) [ (i + 1) ] (lib.range 0 (width - 1));
    in
    lib.last (builtins.foldl' nextRow (lib.range 0 width) (lib.range 0 (stringLength a - 1)));
  levenshteinAtMost = k: a: b: lib.levenshtein a b <= k;

  addContextFrom = src: target: substring 0 0 src + target;
  appendContext = builtins.appendContext;

  versionOlder = v1: v2: builtins.compareVersions v2 v1 == 1;
  versionAtLeast = v1: v2: !lib.versionOlder v1 v2;
  getName = v: if isString v then (builtins.parseDrvName v).name else v.pname or (builtins.parseDrvName v.name).name;
  getVersion =
    v: if isString v then (builtins.parseDrvName v).version else v.version or (builtins.parseDrvName v.name).version;
  nameFromURL =
    url: sep:
    let
      file = lib.last (lib.splitString "/" url);
      name = head (lib.splitString sep file);
    in
    assert name != file;
    name;

  makeSearchPath =
    sub: packages: concatStringsSep ":" (map (p: "${p}/${sub}") (filter (p: p != null) packages));
  makeSearchPathOutput =
    output: sub: packages:
    lib.makeSearchPath sub (map (lib.getOutput output) packages);
  makeLibraryPath = lib.makeSearchPathOutput "lib" "lib";
  makeIncludePath = lib.makeSearchPathOutput "dev" "include";
  makeBinPath = lib.makeSearchPathOutput "bin" "bin";
  normalizePath =
    path:
    let
      segments = filter (s: s != "") (filter isString (split "/+" path));
      # `split` keeps the empty text before a leading slash.
      absolute = substring 0 1 path == "/";
      trailing = path != "/" && segments != [ ] && lib.hasSuffix "/" path;
    in
    lib.addContextFrom path (
      (if absolute then "/" else "") + concatStringsSep "/" segments + (if trailing then "/" else "")
    );

  enableFeature = flag: feature: "--${if flag then "enable" else "disable"}-${feature}";
  enableFeatureAs = flag: feature: value: lib.enableFeature flag feature + lib.optionalString flag "=${value}";
  withFeature = flag: feature: "--${if flag then "with" else "without"}-${feature}";
  withFeatureAs = flag: feature: value: lib.withFeature flag feature + lib.optionalString flag "=${value}";
  cmakeOptionType = type: name: value: "-D${name}:${lib.toUpper type}=${value}";
  cmakeBool = name: flag: lib.cmakeOptionType "bool" name (if flag then "TRUE" else "FALSE");
  cmakeFeature = lib.cmakeOptionType "string";
  mesonOption = feature: value: "-D${feature}=${value}";
  mesonBool = feature: flag: lib.mesonOption feature (lib.boolToString flag);
  mesonEnable = feature: flag: lib.mesonOption feature (if flag then "enabled" else "disabled");

  fixedWidthString =
    width: filler: text:
    let
      missing = width - stringLength text;
    in
    if missing < 0 then
      throw "fixedWidthString: requested string length (${toString width}) must not be shorter than actual length (${toString (stringLength text)})"
    else
      substring 0 missing (lib.strings.replicate missing filler) + text;
  fixedWidthNumber = width: n: lib.fixedWidthString width "0" (toString n);
  floatToString = f: lib.warnIf (builtins.fromJSON (builtins.toJSON f) != f) "Imprecise conversion from float to string ${toString f}" (toString f);

  isConvertibleWithToString =
    v:
    lib.isStringLike v
    || elem (builtins.typeOf v) [
      "null"
      "int"
      "float"
      "bool"
    ]
    || (isList v && lib.all lib.isConvertibleWithToString v);
  isStringLike = v: isString v || isPath v || v ? outPath || v ? __toString;
  isStorePath =
    v:
    lib.isStringLike v
    && (
      let
        text = toString v;
      in
      substring 0 1 text == "/"
      && builtins.dirOf text == builtins.storeDir
      && match "[0-9abcdfghijklmnpqrsvwxyz]{32}-.+" (builtins.unsafeDiscardStringContext (builtins.baseNameOf text)) != null
    );

  # Refuses numbers with leading zeros, which some readers take as octal.
  toInt =
    text:
    let
      stripped = match "[[:space:]]*(-?[[:digit:]]+)[[:space:]]*" text;
      digits = head stripped;
    in
    if stripped == null then
      throw "toInt: Could not convert ${lib.escapeNixString text} to int."
    else if match "-?0[[:digit:]]+" digits != null then
      throw "toInt: Ambiguity in interpretation of ${lib.escapeNixString text} between octal and zero padded integer."
    else
      builtins.fromJSON digits;
  toIntBase10 =
    text:
    let
      stripped = match "[[:space:]]*(-?)0*([[:digit:]]+)[[:space:]]*" text;
    in
    if stripped == null then
      throw "toIntBase10: Could not convert ${lib.escapeNixString text} to int."
    else
      builtins.fromJSON (lib.concatStrings stripped);

  readPathsFromFile = root: file: map (p: root + "/${p}") (filter (p: p != "" && substring 0 1 p != "#") (lib.splitString "\n" (builtins.readFile file)));
  fileContents = file: lib.removeSuffix "\n" (builtins.readFile file);

  # A name that the store accepts: other characters become dashes, leading dots go, 207 characters at most.
  sanitizeDerivationName =
    let
      allowed = match "[[:alnum:]+_?=-][[:alnum:]+._?=-]*";
      clean =
        text:
        let
          undotted = head (match "\\.*(.*)" (builtins.unsafeDiscardStringContext text));
          dashed = lib.concatMapStrings (p: if isString p then p else "-") (split "[^[:alnum:]+._?=-]+" undotted);
          start = stringLength dashed - 207;
          short = substring (if start > 0 then start else 0) (-1) dashed;
        in
        if short == "" then "unknown" else short;
    in
    name:
    let
      text = toString name;
    in
    if stringLength text <= 207 && allowed (builtins.unsafeDiscardStringContext text) != null then
      builtins.unsafeDiscardStringContext text
    else
      clean text;
}
