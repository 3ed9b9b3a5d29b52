# One image of each kind; each says its name when it runs.
{ pkgs, ... }:
let
  inherit (pkgs) dockerTools ociTools runCommand;

  # Debian's static one, which is small: the images are copied many times.
  shell = runCommand "shell" { } "mkdir -p $out/bin; cp ${./busybox} $out/bin/sh; chmod +x $out/bin/sh";

  says = name: {
    config.Cmd = [ "${shell}/bin/sh" "-c" "echo ${name}" ];
  };
  layered = name: says name // {
    inherit name;
    tag = "1";
  };
in
rec {
  plain = dockerTools.buildImage (layered "plain");
  layers = dockerTools.buildLayeredImage (layered "layers");
  stream = dockerTools.streamLayeredImage (layered "stream");
  database = dockerTools.buildLayeredImageWithNixDb (
    layered "database"
    // {
      config.Cmd = [ "${shell}/bin/sh" "-c" "test -s /nix/var/nix/db/db.sqlite && echo database" ];
    }
  );
  merged = dockerTools.mergeImages [ plain layers ];
  bundle = ociTools.buildContainer {
    args = [ "${shell}/bin/sh" "-c" "echo bundle" ];
  };
}
