# The image of Wharf's own registry: the program itself, and its configuration.
#
#   wharf run ./examples/registry
{ pkgs, ... }:
let
  configuration = pkgs.writeText "registry.toml" ''
    [listen]
    address = "0.0.0.0:5000"

    [storage]
    root = "/var/lib/registry"
    delete = true
  '';
in
pkgs.dockerTools.buildLayeredImage {
  name = "wharf-registry";
  tag = "0.1.0";

  config = {
    Cmd = [
      "${pkgs.wharf}/bin/wharf"
      "registry"
      "serve"
      "--config"
      "${configuration}"
    ];
    ExposedPorts."5000/tcp" = { };
    Volumes."/var/lib/registry" = { };
  };
}
