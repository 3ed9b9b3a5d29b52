# Source trees with parts left out.
{ lib }:
let
  inherit (builtins) match;

  versionControl = [
    ".bzr"
    ".git"
    ".hg"
    ".jj"
    ".pijul"
    ".svn"
    "CVS"
    "_darcs"
  ];

  # What a source is made of: a filter on a filter is one filter on the original.
  parts =
    src:
    if src ? _isLibCleanSourceWith then
      {
        inherit (src) origSrc filter name;
        filtered = true;
      }
    else
      {
        origSrc = src;
        filter = _: _: true;
        name = null;
        filtered = false;
      };
  build =
    {
      origSrc,
      filter,
      name,
    }:
    let
      name' = if name != null then name else "source";
    in
    {
      _isLibCleanSourceWith = true;
      inherit origSrc filter name;
      outPath = builtins.path {
        inherit filter;
        path = origSrc;
        name = name';
      };
      _isLibCleanSourceWithEx = true;
    };
in
rec {
  # Leaves out what editors, compilers and version control leave behind.
  cleanSourceFilter =
    name: type:
    let
      base = builtins.baseNameOf (toString name);
    in
    !(
      (type == "directory" && builtins.elem base versionControl)
      || (type == "regular" && base == ".git")
      || lib.hasSuffix "~" base
      || match "^\\.sw[a-z]$" base != null
      || match "^\\..*\\.sw[a-z]$" base != null
      || lib.hasSuffix ".o" base
      || lib.hasSuffix ".so" base
      || (type == "symlink" && lib.hasPrefix "result" base)
      || type == "unknown"
    );
  cleanSource =
    src:
    cleanSourceWith {
      filter = cleanSourceFilter;
      inherit src;
    };
  canCleanSource = src: src ? _isLibCleanSourceWith || !lib.isStorePath src;
  cleanSourceWith =
    {
      filter ? _path: _type: true,
      src,
      name ? null,
    }:
    let
      inner = parts src;
    in
    build {
      inherit (inner) origSrc;
      filter = path: type: filter path type && inner.filter path type;
      name = if name != null then name else inner.name;
    };

  # The files whose path below the source one of the patterns matches as a whole.
  sourceByRegex =
    src: regexes:
    let
      inner = parts src;
      root = "${toString inner.origSrc}/";
    in
    cleanSourceWith {
      inherit src;
      filter =
        path: _type:
        lib.any (regex: match regex (lib.removePrefix root (toString path)) != null) regexes;
    };
  sourceFilesBySuffices =
    src: suffixes:
    cleanSourceWith {
      inherit src;
      filter = path: type: type == "directory" || lib.any (suffix: lib.hasSuffix suffix (baseNameOf path)) suffixes;
    };

  urlToName =
    url:
    let
      base = baseNameOf (lib.removeSuffix "/" (lib.last (lib.splitString ":" (toString url))));
    in
    if lib.isDerivation url then url.name or "source" else lib.removeSuffix ".git" base;
}
