# Trees of symbolic links to other packages.
{ lib, final }:
let
  # The outputs of a package that belong to an environment: those asked for, else those its `meta` names.
  chosenOutputs =
    extra: package:
    let
      usual =
        if !(package.outputSpecified or false) && package.meta.outputsToInstall or null != null then
          map (output: package.${output}) package.meta.outputsToInstall
        else
          [ package ];
    in
    usual ++ lib.filter (p: p != null) (map (output: package.${output} or null) extra);
in
{
  # One tree of the links to every path's files; where two have one, the first stays.
  symlinkJoin =
    args_@{
      name ?
        assert lib.assertMsg (args_ ? pname && args_ ? version)
          "symlinkJoin requires either a `name` OR `pname` and `version`";
        "${args_.pname}-${args_.version}",
      paths,
      stripPrefix ? "",
      preferLocalBuild ? true,
      allowSubstitutes ? false,
      postBuild ? "",
      failOnMissing ? stripPrefix == "",
      ...
    }:
    assert lib.assertMsg (stripPrefix == "" || lib.hasPrefix "/" stripPrefix)
      "symlinkJoin: stripPrefix '${stripPrefix}' must be an absolute path (start with /)";
    final.runCommand name
      (
        removeAttrs args_ [
          "name"
          "postBuild"
          "stripPrefix"
          "paths"
          "failOnMissing"
        ]
        // {
          inherit preferLocalBuild allowSubstitutes;
          paths = map (path: "${path}${stripPrefix}") (lib.flatten paths);
          passAsFile = [ "paths" ];
        }
      )
      ''
        mkdir -p $out
        for path in $(cat $pathsPath); do
          ${if failOnMissing then ''lndir -silent "$path" "$out"'' else ''if [ -d "$path" ]; then lndir -silent "$path" "$out"; fi''}
        done
        ${postBuild}
      '';

  # One tree of links with nixpkgs' rules for files that several packages have: the lower `meta.priority` wins, equal
  # ones must hold the same, anything else is an error. `build-env` in the userland is the builder.
  buildEnv = lib.makeOverridable (
    {
      name ? null,
      pname ? null,
      version ? null,
      manifest ? "",
      paths,
      ignoreCollisions ? false,
      checkCollisionContents ? true,
      ignoreSingleFileOutputs ? false,
      includeClosures ? false,
      pathsToLink ? [ "/" ],
      extraOutputsToInstall ? [ ],
      extraPrefix ? "",
      nativeBuildInputs ? [ ],
      buildInputs ? [ ],
      postBuild ? "",
      passthru ? { },
      meta ? { },
      derivationArgs ? { },
    }:
    let
      entry =
        package:
        let
          priority = toString (package.meta.priority or lib.meta.defaultPriority);
        in
        lib.concatMapStrings (path: "${priority} ${path}\n") (chosenOutputs extraOutputsToInstall package);
      flags =
        lib.optional ignoreCollisions "--ignore-collisions"
        ++ lib.optional (!checkCollisionContents) "--ignore-contents"
        ++ lib.optional ignoreSingleFileOutputs "--ignore-single-files"
        ++ lib.concatMap (path: [ "--link" path ]) pathsToLink
        ++ lib.optionals (extraPrefix != "") [ "--prefix" extraPrefix ]
        ++ lib.optionals (manifest != "") [ "--manifest" (toString manifest) ]
        ++ lib.optionals includeClosures [
          "--closure"
          (toString (final.writeClosure (lib.concatMap (chosenOutputs extraOutputsToInstall) paths)))
        ];
    in
    final.runCommand
      (if name != null then name else "${pname}-${version}")
      (
        {
          inherit nativeBuildInputs buildInputs postBuild meta;
          entries = lib.concatMapStrings entry paths;
          passAsFile = [ "entries" ];
          passthru = { inherit paths; } // passthru;
          preferLocalBuild = true;
          allowSubstitutes = false;
        }
        // lib.optionalAttrs (pname != null) { inherit pname version; }
        // derivationArgs
      )
      ''
        build-env ${lib.escapeShellArgs flags} "$entriesPath" "$out"
        eval "$postBuild"
      ''
  );

  # A directory of links by name: linkFarm "name" { "a/b" = path; } or [ { name = "a/b"; path = path; } ].
  linkFarm =
    name: entries:
    let
      # Of several entries with one name the last counts.
      byName =
        if builtins.isList entries then
          lib.foldl' (acc: e: acc // { ${e.name} = e.path; }) { } entries
        else
          entries;
      link = target: path: ''
        mkdir -p "$(dirname ${lib.escapeShellArg target})"
        ln -s ${lib.escapeShellArg "${path}"} ${lib.escapeShellArg target}
      '';
    in
    final.runCommandLocal name { passthru.entries = byName; } ''
      mkdir -p $out
      cd $out
      ${lib.concatStrings (lib.mapAttrsToList link byName)}
    '';
  linkFarmFromDrvs =
    name: packages:
    final.linkFarm name (lib.listToAttrs (map (p: lib.nameValuePair p.name p) packages));
}
