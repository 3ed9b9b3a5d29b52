# The forge, on Gitea's own image.
{ pkgs, ... }:

pkgs.dockerTools.buildImage {
  name = "forgejo";
  tag = "1.20.5";

  fromImage = pkgs.dockerTools.pullImage {
    imageName = "gitea/gitea";
    imageDigest = (import ./base-images.nix).gitea; # Use Gitea base, customize
  };

  copyToRoot = pkgs.buildEnv {
    name = "root";
    paths = with pkgs; [
      git
      openssh
    ];
  };

  config = {
    Cmd = [ "${pkgs.gitea}/bin/gitea" "web" ];
    ExposedPorts."3000/tcp" = { };
  };
}
