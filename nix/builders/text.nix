# Texts in the store: files, scripts, and what is made by joining files.
{ lib, final }:
let
  # The interpreter's dry run finds syntax errors when the script is built, not when it first runs.
  checkShell = ''
    ${final.stdenvNoCC.shellDryRun} "$target"
  '';
in
{
  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      passthru ? { },
      allowSubstitutes ? false,
      preferLocalBuild ? true,
      derivationArgs ? { },
    }:
    let
      program = builtins.match "/bin/([^/]+)" destination;
    in
    assert lib.assertMsg (destination == "" || (lib.hasPrefix "/" destination && destination != "/"))
      "writeTextFile: the destination '${destination}' must be an absolute path below the output, with at least a file name";
    final.runCommand name (
      {
        inherit
          text
          executable
          checkPhase
          allowSubstitutes
          preferLocalBuild
          ;
        passAsFile = [ "text" ] ++ derivationArgs.passAsFile or [ ];
        meta =
          lib.optionalAttrs (executable && program != null) { mainProgram = lib.head program; }
          // meta
          // derivationArgs.meta or { };
        passthru = passthru // derivationArgs.passthru or { };
      }
      // removeAttrs derivationArgs [
        "passAsFile"
        "meta"
        "passthru"
      ]
    ) ''
      target=$out${lib.escapeShellArg destination}
      mkdir -p "$(dirname "$target")"
      cp "$textPath" "$target"
      chmod u+w,a+r "$target"
      if [ -n "$executable" ]; then chmod +x "$target"; fi
      eval "$checkPhase"
    '';

  writeText =
    name: text:
    assert lib.assertMsg (lib.isConvertibleWithToString text)
      "pkgs.writeText ${lib.escapeNixString name}: The second argument should be a string, but it's a ${builtins.typeOf text} instead.";
    final.writeTextFile {
      inherit name;
      text = toString text;
    };
  writeTextDir =
    path: text:
    final.writeTextFile {
      inherit text;
      name = baseNameOf path;
      destination = "/${path}";
    };

  writeScript =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
    };
  writeScriptBin =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
    };
  writeShellScript =
    name: text:
    final.writeTextFile {
      inherit name;
      executable = true;
      text = ''
        #!${final.runtimeShell}
        ${text}
      '';
      checkPhase = checkShell;
    };
  writeShellScriptBin =
    name: text:
    final.writeTextFile {
      inherit name;
      executable = true;
      destination = "/bin/${name}";
      text = ''
        #!${final.runtimeShell}
        ${text}
      '';
      checkPhase = checkShell;
      meta.mainProgram = name;
    };

  # A script with strict options and its programs in PATH. Its syntax is checked; ShellCheck is not in this set, so its
  # exclusions have nothing to exclude.
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? null,
      meta ? { },
      passthru ? { },
      checkPhase ? null,
      excludeShellChecks ? [ ],
      extraShellCheckFlags ? [ ],
      bashOptions ? [
        "errexit"
        "nounset"
        "pipefail"
      ],
      derivationArgs ? { },
      inheritPath ? true,
    }:
    final.writeTextFile {
      inherit
        name
        meta
        passthru
        derivationArgs
        ;
      executable = true;
      destination = "/bin/${name}";
      allowSubstitutes = true;
      preferLocalBuild = false;
      text =
        "#!${final.runtimeShell}\n"
        + lib.concatMapStrings (option: "set -o ${option}\n") bashOptions
        + lib.optionalString (runtimeEnv != null) (
          lib.concatStrings (
            lib.mapAttrsToList (variable: value: "${lib.toShellVar variable value}\nexport ${variable}\n") runtimeEnv
          )
        )
        + lib.optionalString (runtimeInputs != [ ]) ''

          export PATH="${lib.makeBinPath runtimeInputs}${lib.optionalString inheritPath ":$PATH"}"
        ''
        + "\n${text}\n";
      checkPhase = if checkPhase == null then checkShell else checkPhase;
    };

  concatTextFile =
    {
      name,
      files,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      passthru ? { },
    }:
    final.runCommandLocal name
      {
        inherit
          files
          executable
          checkPhase
          meta
          passthru
          destination
          ;
      }
      ''
        target=$out$destination
        mkdir -p "$(dirname "$target")"
        cat $files >"$target"
        if [ -n "$executable" ]; then chmod +x "$target"; fi
        eval "$checkPhase"
      '';
  concatText = name: files: final.concatTextFile { inherit name files; };
  concatScript =
    name: files:
    final.concatTextFile {
      inherit name files;
      executable = true;
    };
}
