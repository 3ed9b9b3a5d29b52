# The file share, with nginx before it.
{ pkgs, ... }:

pkgs.dockerTools.buildImage {
  name = "nextcloud";
  tag = "29.0.0";

  fromImage = pkgs.dockerTools.pullImage {
    imageName = "nextcloud";
    imageDigest = (import ./base-images.nix).nextcloud; # Pinned base image
  };

  copyToRoot = pkgs.buildEnv {
    name = "root";
    paths = with pkgs; [
      nginx
      ca-certificates
    ];
  };

  config = {
    Cmd = [ "${pkgs.nginx}/bin/nginx" "-g" "daemon off;" ];
    Env = [ "NEXTCLOUD_DATA_DIR=/data" ];
    ExposedPorts."80/tcp" = { };
    Volumes = {
      "/data" = { };
      "/cache" = { };
    };
  };
}
