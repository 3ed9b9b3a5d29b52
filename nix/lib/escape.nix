# Strings as words of other languages: shell, Nix, regular expressions, C, URLs, XML.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    isString
    match
    replaceStrings
    toJSON
    ;

  unreserved = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
  keywords = [
    "assert"
    "else"
    "if"
    "in"
    "inherit"
    "let"
    "or"
    "rec"
    "then"
    "with"
  ];
in
{
  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeC =
    chars:
    let
      code = c: lib.fixedWidthString 2 "0" (lib.toLower (lib.toHexString (lib.charToInt c)));
    in
    replaceStrings chars (map (c: "\\x${code c}") chars);
  escapeRegex = lib.escape (lib.stringToCharacters "\\[{()^$?*+|.");
  escapeURL =
    let
      percent = c: if builtins.elem c unreserved then c else "%${lib.fixedWidthString 2 "0" (lib.toHexString (lib.charToInt c))}";
    in
    lib.stringAsChars percent;
  escapeXML =
    replaceStrings
      [ "\"" "'" "<" ">" "&" ]
      [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];

  escapeNixString = text: replaceStrings [ "$" ] [ "\\$" ] (toJSON text);
  escapeNixIdentifier =
    name:
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null && !(builtins.elem name keywords) then
      name
    else
      lib.escapeNixString name;

  # Quoted only where the shell would see more than one plain word.
  escapeShellArg =
    arg:
    let
      text = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" text != null then text else "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;

  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  # An assignment in bash: a list is an array, a set an associative one.
  toShellVar =
    name: value:
    lib.throwIfNot (lib.isValidPosixName name) "toShellVar: ${name} is not a valid shell variable name" (
      if builtins.isAttrs value && !lib.isStringLike value then
        "declare -A ${name}=(${concatStringsSep " " (lib.mapAttrsToList (n: v: "[${lib.escapeShellArg n}]=${lib.escapeShellArg v}") value)})"
      else if builtins.isList value then
        "declare -a ${name}=(${lib.escapeShellArgs value})"
      else
        "${name}=${lib.escapeShellArg value}"
    );
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList lib.toShellVar vars);
}
