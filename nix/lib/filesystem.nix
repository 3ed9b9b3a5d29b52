# What is on disk beside the definition.
{ lib }:
let
  inherit (builtins) dirOf pathExists readDir readFileType;
in
rec {
  inherit readDir;
  pathType =
    path:
    if !pathExists path then
      throw "lib.filesystem.pathType: Path ${toString path} does not exist."
    else if builtins ? readFileType then
      readFileType path
    # A root has no entry in a parent, and is a directory.
    else if dirOf path == path then
      "directory"
    else
      (readDir (dirOf path)).${baseNameOf path};
  pathIsDirectory = path: pathExists path && pathType path == "directory";
  pathIsRegularFile = path: pathExists path && pathType path == "regular";

  listFilesRecursive =
    dir:
    lib.concatLists (
      lib.mapAttrsToList (
        name: type:
        if type == "directory" then listFilesRecursive (dir + "/${name}") else [ (dir + "/${name}") ]
      ) (readDir dir)
    );

  # The nearest directory upwards, with the part of its names that a predicate or pattern accepts.
  locateDominatingFile =
    pattern: file:
    let
      go =
        path:
        let
          files = builtins.attrNames (readDir path);
          matches = builtins.filter (m: m != null) (map (builtins.match pattern) files);
        in
        if matches != [ ] then
          { inherit path matches; }
        else if path == /. then
          null
        else
          go (dirOf path);
      start = if pathIsDirectory file then file else dirOf file;
    in
    go start;

  resolveDefaultNix = path: if pathIsDirectory path then path + "/default.nix" else path;

  # Directories of `package.nix` files, or of `NAME.nix`, as a tree of packages.
  packagesFromDirectoryRecursive =
    {
      callPackage,
      directory,
      ...
    }:
    let
      packageFile = directory + "/package.nix";
      entry =
        name: type:
        if type == "directory" then
          [
            (lib.nameValuePair name (packagesFromDirectoryRecursive {
              inherit callPackage;
              directory = directory + "/${name}";
            }))
          ]
        else if type == "regular" && lib.hasSuffix ".nix" name then
          [ (lib.nameValuePair (lib.removeSuffix ".nix" name) (callPackage (directory + "/${name}") { })) ]
        else
          [ ];
    in
    if pathExists packageFile then
      callPackage packageFile { }
    else
      lib.listToAttrs (lib.concatLists (lib.mapAttrsToList entry (readDir directory)));
}
