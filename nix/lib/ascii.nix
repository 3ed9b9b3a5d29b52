# The printable ASCII characters and the usual control characters, by code.
{ lib }:
let
  printable = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
in
builtins.listToAttrs (
  lib.imap0 (i: c: {
    name = c;
    value = 32 + i;
  }) (lib.stringToCharacters printable)
)
// {
  "\t" = 9;
  "\n" = 10;
  "\r" = 13;
}
