# The registry as a service, on any target:
#
#   wharf render ./examples/registry/containers.nix --target kubernetes|nixos|quadlet|compose
{ pkgs, ... }:
{
  containers.registry = {
    image = import ./default.nix { inherit pkgs; };
    ports = [
      {
        name = "registry";
        container = 5000;
        host = 5000;
      }
    ];
    volumes.storage = {
      path = "/var/lib/registry";
      size = "20Gi";
    };
    health = {
      http = {
        port = 5000;
        path = "/v2/";
      };
      startPeriod = 10;
    };
    resources.limits.memory = "512Mi";
  };
}
