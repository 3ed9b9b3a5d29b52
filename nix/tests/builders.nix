# What the builders of the package set make, looked at by one more build: it succeeds if everything is as it should be.
{ pkgs, ... }:
let
  inherit (pkgs) lib;

  text = pkgs.writeText "text" "line one\nüñí ' \" $x\n";
  dir = pkgs.writeTextDir "share/a/b.txt" "b";
  script = pkgs.writeShellScript "script" ''echo "script $1"'';
  program = pkgs.writeShellScriptBin "program" "echo program";
  application = pkgs.writeShellApplication {
    name = "application";
    runtimeInputs = [ program ];
    runtimeEnv.GREETING = "it's me";
    text = ''echo "$GREETING: $(program)"'';
  };
  joined = pkgs.symlinkJoin {
    name = "joined";
    paths = [
      program
      dir
    ];
    postBuild = "echo more >$out/more";
  };
  low = lib.lowPrio (pkgs.writeTextDir "same" "low");
  high = pkgs.writeTextDir "same" "high";
  environment = pkgs.buildEnv {
    name = "environment";
    paths = [
      low
      high
      program
      dir
    ];
    pathsToLink = [
      "/bin"
      "/"
    ];
    postBuild = "echo built >$out/post";
  };
  farm = pkgs.linkFarm "farm" {
    "a/b" = text;
    c = dir;
  };
  concatenated = pkgs.concatText "both" [
    text
    (pkgs.writeText "two" "two")
  ];
  replaced = pkgs.replaceVars (pkgs.writeText "template" "value: @value@\n") { value = "a & b / c"; };
  closure = pkgs.writeClosure [ joined ];

  source = pkgs.runCommand "source" { } ''
    mkdir -p $out/src
    echo "hello @who@" >$out/src/greeting
    echo '#!/bin/sh' >$out/run
    chmod +x $out/run
  '';
  package = pkgs.stdenv.mkDerivation (final: {
    pname = "package";
    version = "1.2";
    src = source;
    who = "world";
    nativeBuildInputs = [ program ];
    patchPhase = ''
      runHook prePatch
      substituteInPlace src/greeting --replace-fail @who@ "$who"
      runHook postPatch
    '';
    postPatch = "echo patched >>src/greeting";
    buildPhase = "program >built";
    doCheck = true;
    checkPhase = "test -x run";
    installPhase = ''
      runHook preInstall
      mkdir -p $out
      cp -r . $out/
      runHook postInstall
    '';
    passthru.own = final.version;
  });
  changed = package.overrideAttrs (old: {
    who = "${old.who} and all";
  });
  outputs = pkgs.runCommand "outputs" { outputs = [ "out" "doc" ]; } ''
    echo out >$out
    echo doc >$doc
  '';
  structured = pkgs.runCommand "structured" {
    __structuredAttrs = true;
    list = [ "a b" "c" ];
  } ''
    printf '%s|' "''${list[@]}" >$out
  '';
in
pkgs.runCommand "builders" { } ''
  same() {
    if [ "$1" != "$2" ]; then
      printf 'found    <%s>\nexpected <%s>\n' "$1" "$2" >&2
      exit 1
    fi
  }
  same "$(cat ${text})" ${lib.escapeShellArg "line one\nüñí ' \" $x"}
  same "$(cat ${dir}/share/a/b.txt)" b
  same "$(${script} now)" "script now"
  same "$(${program}/bin/program)" program
  same "$(${lib.getExe application})" "it's me: program"
  same "$(${joined}/bin/program; cat ${joined}/share/a/b.txt ${joined}/more)" "$(printf 'program\nbmore')"
  same "$(cat ${environment}/same ${environment}/post)" highbuilt
  test -d ${environment}/bin -a ! -L ${environment}/bin
  test -L ${environment}/share
  same "$(readlink ${farm}/a/b)" ${text}
  same "$(readlink ${farm}/c)" ${dir}
  same "$(cat ${concatenated})" "$(cat ${text}; printf two)"
  same "$(cat ${replaced})" "value: a & b / c"
  grep -q ${program} ${closure}
  grep -q ${pkgs.wharf} ${closure}
  same "$(cat ${package}/src/greeting)" "$(printf 'hello world\npatched')"
  same "$(cat ${package}/built)" program
  same ${package.own}-${package.name} 1.2-package-1.2
  same "$(head -n 1 ${changed}/src/greeting)" "hello world and all"
  same "$(cat ${outputs} ${outputs.doc})" "$(printf 'out\ndoc')"
  same "$(cat ${structured})" "a b|c|"
  test -s ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt
  test -z "$(ls -A ${pkgs.emptyDirectory})" -a -f ${pkgs.emptyFile}
  same "$(cat ${(pkgs.formats.ini { }).generate "x.ini" { s.a = 1; }})" "$(printf '[s]\na=1')"
  touch $out
''
