# A string that grows step by step, then replaced in and split by a regular expression.
let
  numbers = builtins.genList (i: i) 12000;
  text = builtins.foldl' (text: i: text + toString i + ",") "" numbers;
  replaced = builtins.replaceStrings [ "0" "17" "999," ] [ "zero" "seventeen" "" ] text;
  pieces = builtins.filter builtins.isString (builtins.split "([,z]+)" replaced);
in
[
  (builtins.stringLength text)
  (builtins.stringLength replaced)
  (builtins.length pieces)
  (builtins.hashString "sha256" (builtins.concatStringsSep "-" pieces))
]
