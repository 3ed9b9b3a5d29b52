# Builds that are a shell command.
{ lib, final }:
{
  # runCommand name attributes command: the command must create $out.
  runCommand =
    name: env: command:
    final.runCommandWith {
      inherit name;
      derivationArgs = env;
    } command;

  runCommandLocal =
    name: env: command:
    final.runCommandWith {
      inherit name;
      runLocal = true;
      derivationArgs = env;
    } command;

  runCommandWith =
    {
      name,
      stdenv ? final.stdenvNoCC,
      runLocal ? false,
      derivationArgs ? { },
    }:
    buildCommand:
    stdenv.mkDerivation (
      {
        inherit name buildCommand;
        passAsFile = [ "buildCommand" ] ++ derivationArgs.passAsFile or [ ];
      }
      // lib.optionalAttrs runLocal {
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // removeAttrs derivationArgs [ "passAsFile" ]
    );

  emptyFile = final.runCommandLocal "empty-file" { } "touch $out";
  emptyDirectory = final.runCommandLocal "empty-directory" { } "mkdir $out";

  # A file with the store paths that the given ones refer to, directly and through others, one a line, sorted.
  writeClosure =
    paths:
    final.runCommandLocal "runtime-deps" {
      # The graph of each path is a file of: path, deriver, count of references, the references.
      exportReferencesGraph = lib.concatLists (
        lib.imap0 (i: p: [
          "graph-${toString i}"
          p
        ]) paths
      );
    } ''
      for graph in graph-*; do
        while read -r path; do
          echo "$path"
          read -r deriver
          read -r count
          while [ "$count" -gt 0 ]; do
            read -r reference
            count=$((count - 1))
          done
        done <"$graph"
      done | sort -u >$out
    '';
  writeReferencesToFile = path: final.writeClosure [ path ];

  # A file with @name@ replaced by the value of that name; a name that does not occur is an error.
  replaceVars =
    src: replacements:
    let
      file = baseNameOf (toString src);
      # A store path's hash is no part of the file's name.
      name = if lib.isStorePath src then builtins.substring 33 (-1) file else file;
    in
    final.runCommandLocal (lib.sanitizeDerivationName name) { inherit src; } ''
      substitute "$src" "$out" ${
        lib.concatStringsSep " " (
          lib.mapAttrsToList (
            name: value: "--replace-fail ${lib.escapeShellArg "@${name}@"} ${lib.escapeShellArg value}"
          ) replacements
        )
      }
      if [ -x "$src" ]; then chmod +x "$out"; fi
    '';
}
