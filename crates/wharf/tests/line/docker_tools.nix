# One image for each function of dockerTools whose work is done by commands; the test runs them.
{ pkgs, ... }:
let
  inherit (pkgs) dockerTools runCommand userland;

  # A base image with files to be kept, changed and removed.
  base = dockerTools.buildImage {
    name = "base";
    copyToRoot = runCommand "base-root" { } ''
      mkdir -p $out/bin $out/etc $out/opt/gone
      ln -s ${userland}/bin/sh $out/bin/sh
      echo base > $out/etc/base
      echo old > $out/etc/changed
      echo gone > $out/opt/gone/file
    '';
    config.Env = [ "PATH=${userland}/bin" ];
  };

  built = runCommand "built" { greeting = "hello"; } "echo $greeting > $out";
in
{
  asRoot = dockerTools.buildImage {
    name = "as-root";
    tag = "1";
    fromImage = base;
    copyToRoot = runCommand "own-root" { } "mkdir -p $out/srv; echo served > $out/srv/file";
    # nixpkgs' manual has this as its example.
    runAsRoot = ''
      #!${pkgs.runtimeShell}
      ${dockerTools.shadowSetup}
      groupadd -r redis
      useradd -r -g redis redis
      mkdir /data
      chown redis:redis /data
      test "$(id -u)" = 0
      test "$(cat /etc/base)" = base
      echo new > /etc/changed
      rm -r /opt/gone
      chmod u+s /srv/file
    '';
    extraCommands = "echo extra > extra";
    config.Cmd = [
      "/bin/sh"
      "-c"
      "stat -c '%n %u %g %a' /data /etc/base /srv/file; cat /etc/changed /extra; ls /opt; grep redis /etc/passwd"
    ];
  };

  fakechroot = dockerTools.buildLayeredImage {
    name = "fakechroot";
    tag = "1";
    contents = [
      dockerTools.binSh
      (runCommand "etc" { } "mkdir -p $out/etc; echo a > $out/etc/a")
    ];
    enableFakechroot = true;
    fakeRootCommands = ''
      test "$(readlink /etc/a)" != ""
      rm /etc/a
      mkdir -p /var/lib
      echo data > /var/lib/data
      chown 5:6 /var/lib/data
      ls / > /listing
    '';
    config.Env = [ "PATH=${userland}/bin" ];
    config.Cmd = [ "/bin/sh" "-c" "stat -c '%n %u %g' /var/lib/data; ls /etc; cat /listing" ];
  };

  fakeRoot = dockerTools.buildLayeredImage {
    name = "fake-root";
    tag = "1";
    contents = [ dockerTools.binSh ];
    extraCommands = "mkdir -p srv; echo x > srv/x";
    fakeRootCommands = "chown -R 7:8 srv";
    config.Env = [ "PATH=${userland}/bin" ];
    config.Cmd = [ "/bin/sh" "-c" "stat -c '%n %u %g' /srv/x" ];
  };

  shell = dockerTools.buildNixShellImage {
    drv = built;
    tag = "1";
    run = ''echo "$greeting from $name"; id -u; buildDerivation && cat $out'';
  };

  streamShell = dockerTools.streamNixShellImage {
    drv = built;
    name = "interactive";
    tag = "1";
    command = "echo interactive $greeting";
  };

  # What Wharf has beside nixpkgs' arguments.
  extras =
    let
      part = runCommand "part" { } "mkdir -p $out/bin; echo 1 > $out/bin/part; echo 2 > $out/secret";
    in
    dockerTools.buildLayeredImage {
      name = "extras";
      tag = "1";
      fromImage = dockerTools.buildImage {
        name = "configured";
        config = {
          Cmd = [ "/base" ];
          Labels.base = "1";
          WorkingDir = "/tmp";
          Env = [ "BASE=1" ];
        };
      };
      inheritConfig = true;
      contents = [ dockerTools.binSh ];
      layers = [
        {
          deps = [ part ];
          perms = [ { path = part; regex = "secret$"; mode = "0400"; uid = 1000; } ];
        }
        {
          deps = [ userland ];
          ignore = [ pkgs.wharf ];
        }
      ];
      annotations."org.example.title" = "Extras";
      labels.own = "2";
      user = "app";
      tmp = true;
      nixSnapshotter = true;
      healthcheck = {
        command = "true";
        interval = "30s";
        retries = 3;
      };
      config.Env = [ "PATH=${userland}/bin" ];
      config.Cmd = [
        "/bin/sh"
        "-c"
        "id -un; pwd; stat -c '%n %u %g %a' /tmp /home/app; cd ${part}; stat -c '%n %u %a' secret bin/part; echo $BASE"
      ];
    };

  stream = dockerTools.streamLayeredImage {
    name = "Streamed";
    tag = "1";
    contents = [ dockerTools.binSh ];
    config.Cmd = [ "/bin/sh" "-c" "echo streamed" ];
    passthru.more = "passed";
  };

  # Arguments that decide what is left out, said, or ignored with a warning.
  debugged = dockerTools.buildLayeredImage {
    name = "debugged";
    tag = "1";
    contents = [ dockerTools.binSh ];
    debug = true;
  };
  rootOnly = dockerTools.buildLayeredImage {
    name = "root-only";
    tag = "1";
    contents = [ dockerTools.binSh ];
    includeStorePaths = false;
  };
  guest = dockerTools.buildImage {
    name = "guest";
    tag = "1";
    diskSize = 2048;
    buildVMMemorySize = 1024;
  };
  exported = dockerTools.exportImage {
    fromImage = dockerTools.buildImage { name = "guest"; };
    diskSize = 2048;
  };
  helpers = dockerTools.buildImage {
    name = "helpers";
    tag = "1";
    copyToRoot = [
      dockerTools.usrBinEnv
      dockerTools.binSh
      dockerTools.caCertificates
      dockerTools.fakeNss
    ];
    config.Cmd = [
      "/bin/sh"
      "-c"
      "/usr/bin/env true && head -c 9 /etc/ssl/certs/ca-bundle.crt | wc -c && cat /etc/nsswitch.conf && ls -d /var/empty"
    ];
    config.Env = [ "PATH=${userland}/bin" ];
  };

  attributes =
    let
      image = dockerTools.buildImage { name = "Team/App"; };
      layered = dockerTools.buildLayeredImage {
        name = "layered";
        tag = "1";
        meta.description = "words";
        passthru.more = "passed";
      };
      stream = dockerTools.streamLayeredImage { name = "streamed"; };
    in
    {
      imageName = image.imageName;
      tagIsHash = image.imageTag == builtins.substring 11 32 image.outPath;
      buildArgs = image.buildArgs;
      layer = image.layer.name;
      override = (image.override { tag = "2"; }).imageTag;
      overrideFunction = (image.override (old: { name = old.name + "2"; })).imageName;
      overrideAttrs = (layered.overrideAttrs (old: { name = "other-" + old.name; })).name;
      overriddenTwice = ((layered.override { tag = "3"; }).overrideAttrs { name = "x"; }).imageTag;
      drvAttrs = { inherit (layered.drvAttrs) imageName imageTag; };
      description = layered.meta.description;
      more = layered.more;
      stream = layered.stream.isExe && stream.isExe;
      streamTag = stream.imageTag == stream.image.imageTag;
      nss = (dockerTools.fakeNss.override { extraPasswdLines = [ "a:x:1:1::/:/bin/sh" ]; }).passwd;
    };

  unknown = {
    buildImage = dockerTools.buildImage { name = "x"; copyToRot = null; };
    buildLayeredImage = dockerTools.buildLayeredImage { name = "x"; runAsRoot = ""; };
    layers = dockerTools.buildLayeredImage { name = "x"; layers = [ { deps = [ ]; dep = 1; } ]; };
    user = dockerTools.buildImage { name = "x"; user = { name = "a"; login = "b"; }; };
    interval = dockerTools.buildImage { name = "x"; healthcheck = { command = "a"; interval = "2 s"; }; };
    streamLayeredImage = dockerTools.streamLayeredImage { name = "x"; compressor = "gz"; };
    pullImage = dockerTools.pullImage { imageName = "x"; imageDigest = "sha256:"; digest = ""; };
    streamNixShellImage = dockerTools.streamNixShellImage { drv = built; uuid = 1; };
    buildContainer = pkgs.ociTools.buildContainer { args = [ ]; mount = { }; };
  };
}
