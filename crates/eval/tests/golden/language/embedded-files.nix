let
  inherit (builtins) baseNameOf dirOf findFile functionArgs isPath pathExists readDir readFile readFileType toPath toXML tryEval;
  file = <nix/fetchurl.nix>;
in
{
  inherit file;
  string = toString file;
  appended = [ (file + "x") (file + "/../y") (/. + file) ];
  names = [ (baseNameOf file) (dirOf file) (dirOf (dirOf file)) (toString (dirOf file)) ];
  path = [ (isPath file) (toPath file) ];
  found = [
    (findFile [ ] "nix/fetchurl.nix")
    (findFile [ { prefix = "nix"; path = ../data; } ] "nix/fetchurl.nix")
    (findFile [ { prefix = "nix"; path = ../data; } ] "nix/one.txt" == ../data/one.txt)
    (findFile [ { prefix = ""; path = ../data; } ] "/one.txt" == ../data/one.txt)
    (findFile [ { prefix = "x"; path = ../data; } ] "x/../one.txt" == ../data/one.txt)
    (tryEval (findFile [ { prefix = "x"; path = ../data; } ] "x/../data/one.txt")).success
    <nix/./fetchurl.nix>
    <nix/../nix/fetchurl.nix>
  ];
  missing = [ <nix/missing.nix> (findFile [ ] "nix/") (pathExists <nix/missing.nix>) (tryEval <nix/missing.nix>).success ];
  read = [ (readFile file != "") (readFileType file) (readFileType (dirOf file)) (readDir (dirOf file)) ];
  exists = [ (pathExists file) (pathExists (dirOf file)) (pathExists (toString file)) ];
  equal = [ (file == <nix/fetchurl.nix>) (file == /fetchurl.nix) ];
  xml = toXML file;
  arguments = functionArgs (import file);
}
