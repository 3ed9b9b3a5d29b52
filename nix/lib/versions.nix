# Version numbers as text.
{ lib }:
let
  part = i: version: builtins.elemAt (builtins.splitVersion version) i;
in
{
  inherit (builtins) splitVersion compareVersions;
  major = part 0;
  minor = part 1;
  patch = part 2;
  majorMinor = version: "${part 0 version}.${part 1 version}";
  # To exactly n numbers, with zeros where the version is shorter; what follows a dash is kept.
  pad =
    n: version:
    let
      pieces = lib.splitString "-" version;
      numbers = lib.splitString "." (builtins.head pieces);
      padded = lib.take n (numbers ++ lib.replicate (lib.max 0 (n - builtins.length numbers)) "0");
    in
    lib.concatStringsSep "-" ([ (lib.concatStringsSep "." padded) ] ++ builtins.tail pieces);
}
