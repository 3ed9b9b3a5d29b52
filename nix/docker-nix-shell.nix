# `streamNixShellImage` and `buildNixShellImage`: an image in which one is where `nix-shell` would put one, in the
# environment of a derivation's build.
{
  lib,
  system,
  userland,
  bashInteractive,
  cacert,
  binSh,
  usrBinEnv,
  fakeNss,
  streamLayeredImage,
  buildLayeredImage,
}:

let
  buildDirectory = "/build";

  # A file, or a directory with one program, with this text.
  textFile =
    name: program: text:
    derivation {
      inherit name system text;
      passAsFile = [ "text" ];
      builder = "${userland}/bin/sh";
      args = [
        "-e"
        "-c"
        ''
          export PATH=${userland}/bin
          place=$out${lib.optionalString program "/bin/${name}"}
          mkdir -p "$(dirname "$place")"
          cp "$textPath" "$place"
          ${lib.optionalString program ''chmod +x "$place"''}
        ''
      ];
    };

  # As Nix makes a builder's variable of an attribute; paths are copied into the store.
  variable =
    value:
    if builtins.isPath value then
      "${value}"
    else if builtins.isList value then
      toString (map variable value)
    else
      toString value;

  # The variables that the attributes of a derivation become.
  variablesOf =
    drv:
    let
      inFiles = drv.drvAttrs.passAsFile or [ ];
      one =
        name: value:
        if builtins.elem name inFiles then
          lib.nameValuePair "${name}Path" (toString (textFile "pass-as-text-${name}" false (variable value)))
        else
          lib.nameValuePair name (variable value);
      # Where the outputs would be; they need not be there.
      outputs = lib.genAttrs (drv.outputs or [ "out" ]) (output: builtins.unsafeDiscardStringContext drv.${output}.outPath);
    in
    lib.mapAttrs' one drv.drvAttrs // outputs;

  # What the shell reads first: the environment as stdenv sets it up, then the user's command.
  startFile =
    { shell, path, commands }:
    textFile "nix-shell-rc" false ''
      unset PATH
      dontAddDisableDepTrack=1
      if [ -n "$stdenv" ] && [ -e "$stdenv/setup" ]; then source "$stdenv/setup"; fi
      PATH=${path}:"$PATH"
      SHELL=${lib.escapeShellArg shell}
      BASH=${lib.escapeShellArg shell}
      set +e
      if [ -n "$PS1" ] && [ -z "$NIX_SHELL_PRESERVE_PROMPT" ]; then
        PS1='\n\[\033[1;32m\][nix-shell:\w]\$\[\033[0m\] '
      fi
      if [ "$(type -t runHook)" = function ]; then runHook shellHook; fi
      unset NIX_ENFORCE_PURITY
      shopt -u nullglob
      shopt -s execfail
      ${commands}
    '';

  # The arguments of the layered image.
  imageOf =
    {
      drv,
      name ? drv.name + "-env",
      tag ? null,
      uid ? 1000,
      gid ? 1000,
      homeDirectory ? buildDirectory,
      shell ? bashInteractive + "/bin/bash",
      command ? null,
      run ? null,
    }:
    let
      buildDerivation = textFile "buildDerivation" true ''
        #!${userland}/bin/sh
        exec ${lib.escapeShellArg (variable drv.drvAttrs.builder)} ${lib.escapeShellArgs (map variable (drv.drvAttrs.args or [ ]))}
      '';
      path = "${dirOf shell}:${buildDerivation}/bin";
      given = if command != null then command else run;
      start = startFile {
        inherit shell path;
        commands = lib.optionalString (given != null) "${given}\nexit";
      };
      certificates = "${cacert}/etc/ssl/certs/ca-bundle.crt";
      owner = "${toString uid}:${toString gid}";
      variables = {
        SSL_CERT_FILE = certificates;
        NIX_SSL_CERT_FILE = certificates;
        PATH = path;
        HOME = homeDirectory;
        NIX_STORE = builtins.storeDir;
        NIX_BUILD_CORES = "1";
      }
      // variablesOf drv
      // lib.genAttrs [ "NIX_BUILD_TOP" "TMPDIR" "TEMPDIR" "TMP" "TEMP" "PWD" ] (_: buildDirectory)
      // {
        TERM = "xterm-256color";
      };
    in
    if drv.drvAttrs.__structuredAttrs or false then
      throw "streamNixShellImage: Does not work with the derivation ${drv.name} because it uses __structuredAttrs"
    else if command != null && run != null then
      throw "streamNixShellImage: Can't specify both command and run"
    else
      {
        inherit name tag;
        contents = [
          binSh
          usrBinEnv
          (fakeNss.override {
            extraPasswdLines = [ "nixbld:x:${owner}:Build user:${homeDirectory}:/noshell" ];
            extraGroupLines = [ "nixbld:!:${toString gid}:" ];
          })
        ];
        # The user may write to the store and build there.
        fakeRootCommands = ''
          mkdir -p ./nix/store ./nix/var/nix ./etc/nix .${buildDirectory}
          chown -R ${owner} ./nix ./etc/nix .${buildDirectory}
        '';
        config = {
          User = owner;
          Cmd = [ shell ] ++ lib.optional (run == null) "--rcfile" ++ [ "${start}" ];
          WorkingDir = buildDirectory;
          Env = lib.mapAttrsToList (name: value: "${name}=${value}") variables;
        };
      };
in

{
  streamNixShellImage = lib.mirrorFunctionArgs imageOf (args: streamLayeredImage (imageOf args));

  buildNixShellImage =
    { compressor ? null, ... }@args:
    buildLayeredImage (
      imageOf (removeAttrs args [ "compressor" ])
      // lib.optionalAttrs (compressor != null) { inherit compressor; }
    );
}
